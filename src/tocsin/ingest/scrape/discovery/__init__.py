"""Where targets are found that no configuration names: files, the DNS, services over HTTP."""
