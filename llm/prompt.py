"""The words around a question that the published weights were tuned on.

The template is Alpaca's (https://github.com/tatsu-lab/stanford_alpaca), verbatim: other words, or a
space more, make the published model worse. It is English also for questions in other languages.
"""

CAPTION = "Generate caption of this image"  # the instruction of stage 1

_TASK = "Below is an instruction that describes a task"
_DO = "Write a response that appropriately completes the request.\n\n### Instruction:\n"


def format_prompt(instruction: str, context: str | None = None) -> str:
    """What the language model reads in front of its answer.

    Args:
        instruction: The question.
        context: Text the question is about, where there is any.
    """
    if not context:
        return f"{_TASK}. {_DO}{instruction}\n\n### Response:"
    return (
        f"{_TASK}, paired with an input that provides further context. {_DO}{instruction}"
        f"\n\n### Input:\n{context}\n\n### Response:"
    )
