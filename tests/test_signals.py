"""What signals do, alone, twice, within one another, and while something computes."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ascjax import signals
from ascjax.signals import Busy, Stopped, StopRequest


@pytest.fixture(autouse=True)
def handlers():
    """The handlers of the process that runs the tests stay its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_request_and_what_stops_says_so(number):
    with StopRequest() as stop:
        stop.check("nowhere")
        os.kill(os.getpid(), number)
        assert stop.requested
        with pytest.raises(Stopped, match="stopped here; the same command") as stopped:
            stop.check("here")
    assert stopped.value.code == 128 + number


def test_a_stop_that_others_agreed_on_is_heard_once(monkeypatch):
    monkeypatch.setattr(signals, "_heard", [])
    with StopRequest(lambda number: number or signal.SIGTERM) as stop:
        assert stop.agreed()
        os.kill(os.getpid(), signal.SIGTERM)  # the same, passed on to this process
        with pytest.raises(Stopped, match="stopped here") as stopped:
            stop.check("here")
        assert signals.heard() == signal.SIGTERM
    assert stopped.value.code == 128 + signal.SIGTERM


def test_a_request_within_another_is_heard_by_both():
    with StopRequest() as outer:
        with StopRequest():
            os.kill(os.getpid(), signal.SIGTERM)
        assert outer.signal == signal.SIGTERM


def test_the_second_signal_does_what_it_did_before():
    heard = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    with StopRequest() as outer, StopRequest() as inner:
        os.kill(os.getpid(), signal.SIGINT)
        assert (heard, outer.requested, inner.requested) == ([], True, True)
        os.kill(os.getpid(), signal.SIGINT)
        assert heard == [signal.SIGINT]


def test_what_is_called_returns_and_raises_as_itself():
    with StopRequest() as stop:
        assert stop.call(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            stop.call(divmod, 7, 0)
        assert not signals.anything_abandoned()


def test_a_stop_waits_for_what_ends_soon_and_for_nothing_else():
    done = threading.Event()
    with StopRequest() as stop:
        stop.signal = signal.SIGTERM
        assert stop.call(lambda: time.sleep(0.3) or 5) == 5
        with pytest.raises(Busy):
            stop.call(done.wait, patience_s=0)
        assert signals.anything_abandoned()
        done.set()


def test_a_request_within_another_knows_of_its_signal():
    with signals.StopRequest() as outer:
        os.kill(os.getpid(), signal.SIGTERM)
        with signals.StopRequest() as inner:
            assert outer.requested
            with pytest.raises(signals.Stopped, match="stopped here") as stopped:
                inner.check("here")
    assert stopped.value.code == 143


SCRIPT = """
import sys, time
from ascjax import signals
signals.handle(caught={caught})
with {within}:
    try:
        print("ready", flush=True)
        time.sleep(60)
        time.sleep(60)
    except KeyboardInterrupt as error:
        sys.exit(error.code)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("caught", "within", "signals_sent", "said"),
    [
        (False, "open('/dev/null')", 1, "interrupted\n"),  # while a command is imported
        (True, "open('/dev/null')", 1, ""),
        (True, "signals.StopRequest()", 2, "interrupted\n"),
    ],
)
def test_a_command_ends_with_its_code_and_no_traceback(number, caught, within, signals_sent, said):
    code = SCRIPT.format(caught=caught, within=within)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    for _ in range(signals_sent):
        process.send_signal(number)
        time.sleep(0.2)
    assert process.communicate() == ("", said)
    assert process.returncode == 128 + number


def test_an_interrupt_in_a_callback_is_not_forgotten():
    code = """
import os, signal, time, weakref
from ascjax import signals
signals.handle(caught=True)
class Gone: pass
gone = Gone()
kept = weakref.ref(gone, lambda _: (os.kill(os.getpid(), signal.SIGINT), time.sleep(1)))
del gone
time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_processes_started_meanwhile_leave_signals_alone():
    code = "import signal; print(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))"
    with signals.withheld():
        said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said == f"[{int(signal.SIGINT)}, {int(signal.SIGTERM)}]\n"
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
