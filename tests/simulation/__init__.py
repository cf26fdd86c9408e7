"""Product and emulator in one process, without sockets, in a time of their own, from one seed."""
