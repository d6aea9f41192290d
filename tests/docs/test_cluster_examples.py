"""The files in examples/ for Slurm and Kubernetes: their syntax, and flags that exist."""

import re
import subprocess

import yaml
from pages import ROOT

from ascjax import main

SBATCH = ROOT / "examples" / "slurm.sbatch"
KUBERNETES = ROOT / "examples" / "kubernetes.yaml"


def test_the_slurm_job_is_a_script_with_directives_before_its_commands():
    subprocess.run(["bash", "-n", SBATCH], check=True)
    lines = SBATCH.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    directives = [line for line in lines if line.startswith("#SBATCH")]
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+(=\S+)?", line) for line in directives)
    first_command = next(i for i, line in enumerate(lines) if line and line[0] != "#")
    assert all(i < first_command for i, line in enumerate(lines) if line in directives)
    [words] = re.findall(r"^srun .* ascjax train (.*) \"\$@\"$", SBATCH.read_text(), re.M)
    words = words.replace('"$SLURM_CPUS_PER_TASK"', "8").split()
    assert main.parse(["train", "--config=vgg_mlp", *words]).config.data.num_workers == 8


def test_the_kubernetes_job_has_as_many_pods_as_its_command_names():
    service, job = yaml.safe_load_all(KUBERNETES.read_text())
    spec, name = job["spec"], job["metadata"]["name"]
    pod = spec["template"]["spec"]
    assert (service["kind"], service["spec"]["clusterIP"]) == ("Service", "None")
    assert service["spec"]["selector"] == {"job-name": name}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert spec["completionMode"] == "Indexed"
    [container] = pod["containers"]
    program, command, *words = container["command"]
    assert (program, command) == ("ascjax", "train")
    variables = {each["name"]: "1" for each in container["env"]}
    words = [re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], word) for word in words]
    options = main.parse(["train", *words])
    assert spec["completions"] == spec["parallelism"] == options.num_processes
    assert options.process_id == 1
    assert options.coordinator.startswith(f"{name}-0.{pod['subdomain']}:")
