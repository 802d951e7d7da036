"""The shell: sockets, clocks, orders, risk and the record of all of it."""
