"""How far labels can be trusted: agreement of annotators, their answers on known clips, cases for a reviewer, and which
of two models people prefer. It knows answers and the catalog, not how the answers came in."""
