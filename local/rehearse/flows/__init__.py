"""What is tried on a deployed stack: one flow for each capability, through the services and with the real binaries.

A flow takes the stack of its capability, raises FlowFailed where something is not as it should be, and says in a few
words what was seen.
"""
