"""An AWS of one machine: the harness on which the templates and scripts of this repository run unchanged."""
