"""Every peer there is."""

from benchmarks.peers import complexity, cycles, indicators, market, returns

PEERS = [
    *returns.PEERS,
    *cycles.PEERS,
    *market.PEERS,
    *complexity.PEERS,
    *indicators.PEERS,
]
