"""From a run to what others use: the network that ships with ascjax."""
