"""What mockbroker costs, beside the least that Python can do and beside other peers.

- ``workloads``: what a user would do, W1 to W10, written once over pika's names.
- ``limits``: the same results by straight-line code: the yardstick.
- ``peers``: who is measured: mockbroker, and kombu's memory transport.
- ``cases``: the table of cases: sizes, yardsticks and the figures to reach.
- ``runner``: a process for each case, peer and repetition; medians; the table of ratios.
- ``startup``: the price of an import and of an isolated test.
"""
