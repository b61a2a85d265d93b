"""What users write in configs/: sources, analysis, labeling, serving, capabilities, mixes."""

from curate.specs.analysis import Analysis
from curate.specs.capability import Capability, Field
from curate.specs.labeling import Labeling
from curate.specs.mix import Mix
from curate.specs.read import Spec, read_spec, read_specs, write_schemas
from curate.specs.serve import Serve
from curate.specs.source import Source

__all__ = [
    "Analysis",
    "Capability",
    "Field",
    "Labeling",
    "Mix",
    "Serve",
    "Source",
    "Spec",
    "read_spec",
    "read_specs",
    "write_schemas",
]
