"""Former place of the parser, for commands that still import it from here."""

from ascjax.cli import Parser as Parser
from ascjax.cli import folder as folder
