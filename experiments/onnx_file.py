"""A network as an ONNX file with a free batch size, compared with the network itself before it is given out."""

import warnings
from collections.abc import Mapping
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from experiments.errors import RunError, sentence_of

Inputs = Mapping[str, Tensor | int]  # of a network, by name, in the order of its arguments

REQUIRED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # of the largest output (of 1 at least): two runtimes sum in different orders


def what_onnx_lacks() -> str | None:
    """A sentence on the packages that are not installed, None where all are."""
    absent = [name for name in REQUIRED if find_spec(name) is None]
    if not absent:
        return None
    return f"ONNX needs {', '.join(absent)}, not installed here: pip install 'lightning-atelier[onnx]'"


def onnx_file(network: nn.Module, inputs: Inputs, output: str) -> tuple[bytes, float]:
    """The file's bytes, and the largest difference of its output from the network's at another batch size.

    Args:
        network: in evaluation mode, on the CPU.
        inputs: by name, in the order of the network's arguments, each [N, ...]; a number becomes a part of the file.
        output: name of the output.

    Raises:
        RunError: the network cannot be written, or the file's answer is another.
    """
    batches = {name: x for name, x in inputs.items() if isinstance(x, Tensor)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter to its own developers
        try:
            program = torch.onnx.export(
                network,
                tuple(inputs.values()),
                input_names=list(batches),
                output_names=[output],
                dynamic_shapes=tuple(
                    {0: torch.export.Dim("N")} if isinstance(x, Tensor) else None for x in inputs.values()
                ),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = sentence_of(error.__cause__ or error).strip().splitlines()[0]
            raise RunError(
                f"{type(network).__name__} cannot be written as ONNX ({reason}): give --onnx no to leave it out"
            ) from error
    assert program is not None
    if not all(entry.type.tensor_type.shape.dim[0].dim_param for entry in program.model_proto.graph.input):
        raise RunError(  # the exporter itself falls back without a word
            f"{type(network).__name__} works for one batch size alone once it is traced: let its forward not count"
            " samples in Python, or give --onnx no"
        )
    content: bytes = program.model_proto.SerializeToString()
    difference = largest_difference(content, network, one_more(inputs))
    return content, difference


def one_more(inputs: Inputs) -> dict[str, Tensor | int]:
    """``inputs`` with the first sample once more at the end."""
    return {name: torch.cat([x, x[:1]]) if isinstance(x, Tensor) else x for name, x in inputs.items()}


def largest_difference(content: bytes, network: nn.Module, inputs: Inputs) -> float:
    """How far the ONNX file's output is from the network's.

    Raises:
        RunError: farther than rounding explains.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {name: x.numpy() for name, x in inputs.items() if isinstance(x, Tensor)})
    with torch.no_grad():
        ours = network(*inputs.values())
    difference = (torch.from_numpy(theirs) - ours).abs().max().item()
    if difference > TOLERANCE * max(1.0, ours.abs().max().item()):
        raise RunError(
            f"the ONNX file of {type(network).__name__} differs from it by {difference:.3g}: give --onnx no to leave it"
            " out"
        )
    return difference
