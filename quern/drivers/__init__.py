"""Where the commands of a step run; a step never asks which."""
