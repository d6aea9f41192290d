"""A config becomes objects, once: the only room that sees a ConfigDict."""
