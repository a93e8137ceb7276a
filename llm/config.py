"""The sizes of what ImageBind-LLM adds to a LLaMA, and the settings of an answer, as plain data.

The base language model keeps the configuration it came with; these classes describe only the
adapter around it, and they survive JSON. Defaults are those published for 7 B parameters
(https://arxiv.org/abs/2309.03905). Neither torch nor transformers is needed here.
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum

from ..errors import UsageError
from ..tables import check_positive, read_table


class Phase(StrEnum):
    """What is trained: the paper's two stages (a third one repeats the second on other data)."""

    PRETRAIN = "pretrain"  # captions teach the bind network, the layer queries and the gates
    FINETUNE = "finetune"  # instructions teach LoRA, biases and norms


class Group(StrEnum):
    """The parts of an adapter, as reports and training plans count them."""

    BIND = "bind"  # the bind network
    QUERIES = "queries"  # one learned vector a layer
    GATES = "gates"  # one number a head and layer
    LORA = "lora"  # low-rank changes of every matrix in a layer
    BIAS = "bias"  # of the matrices that get one
    NORM = "norm"  # weights of the language model's norms, which replace the base's


TRAINED: dict[Phase, frozenset[Group]] = {
    Phase.PRETRAIN: frozenset({Group.BIND, Group.QUERIES, Group.GATES}),
    Phase.FINETUNE: frozenset({Group.LORA, Group.BIAS, Group.NORM}),
}


@dataclass(frozen=True, kw_only=True)
class BindConfig:
    """The network from a vector of the joint space to the width of the language model."""

    in_dim: int = 1024  # of the joint space
    dim: int = 4096  # of the language model
    hidden: int = 16_384  # width inside a block
    n_blocks: int = 3  # 0 leaves the single linear projection in front of them
    legacy: bool = False  # LayerNorm and biases in the blocks, as in 7B-beta.pth

    def __post_init__(self) -> None:
        check_positive(self, "in_dim", "dim", "hidden")
        if self.n_blocks < 0:
            raise ValueError(f"n_blocks is {self.n_blocks}; it cannot be negative")


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """Everything that is added to a language model."""

    bind: BindConfig = field(default_factory=BindConfig)
    n_layers: int = 32  # of the language model; each has a query and gates
    n_heads: int = 32  # of the language model; each has a gate in every layer
    lora_rank: int = 16  # 0: no LoRA and no biases, as after stage 1

    def __post_init__(self) -> None:
        check_positive(self, "n_layers", "n_heads")
        if self.lora_rank < 0:
            raise ValueError(f"lora_rank is {self.lora_rank}; it cannot be negative")

    def to_dict(self) -> dict[str, object]:
        """All fields, nested, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> "AdapterConfig":
        """What :meth:`to_dict` gave, also after JSON.

        Raises:
            ValueError: A key is missing or unknown, or a value is not of its field's type.
        """
        return read_table(cls, data, "config")


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How an answer is drawn, token by token. Defaults are those of the published model."""

    max_tokens: int = 256  # of an answer, its end not counted
    temperature: float = 0.1  # divides the logits; 0 takes the likeliest token
    top_p: float = 0.75  # draw from the likeliest tokens whose probabilities reach this sum
    repetition_penalty: float = 1.0  # above 1, tokens of prompt and answer so far become unlikelier
    seed: int | None = None  # equal seeds give equal answers; None draws a new one each time

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens is {self.max_tokens}; an answer has at least 1")
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature is {self.temperature}; give 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}; give a share above 0, up to 1")
        if not 0 < self.repetition_penalty < float("inf"):
            raise UsageError(
                f"repetition_penalty is {self.repetition_penalty}; give a positive number, "
                "1 for none"
            )
