"""The command line of a settings class: one flag per setting, in groups, with its default."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import types
import typing
from collections.abc import Sequence
from typing import Any

from mobilebert_ja.common.errors import Parser, UserError
from mobilebert_ja.common.former_names import FORMER_NAMES

# Which group of --help a setting stands in; all others say what the stage does.
GROUPS = {
    "what it reads": (
        "config data_dir text_file exclude_file train_file test_file encoding text_column label_column test_share "
        "split_seed train_share validate_on unlabelled_file teacher_file silver_share "
        "source input checksum exclude corpus_dir tokenizer shards_dir teacher "
        "model_name_or_path ignore_mismatched_labels word_embeddings model_folder bert mobilebert card "
        "onnx fast ablation trials encoder_name_or_path guide guide_model_name_or_path tags generator url_livedoor "
        "url_ner"
    ),
    "training": (
        "optimizer learning_rate lr_scheduler_type warmup_steps warmup_ratio weight_decay max_grad_norm adam_beta1 "
        "adam_beta2 adam_epsilon per_device_train_batch_size gradient_accumulation_steps max_steps max_train_seconds "
        "transfer_steps num_train_epochs dropout num_seeds silver_epochs silver_weight min_confidence"
    ),
    "output": (
        "work_dir output_dir records_dir figures_dir report_file guide_file overwrite save_dtype max_shard_size "
        "upload_dir record_file"
    ),
    "how it runs": (
        "seed num_workers dataloader_num_workers executor executor_options resume_from_checkpoint logging_steps "
        "save_seconds eval_seconds eval_rows eval_seq_length per_device_eval_batch_size report_to"
    ),
}
_GROUP_OF = {name: group for group, names in GROUPS.items() for name in names.split()}
_OWN_GROUP = "what it does"
_TRUE, _FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


def _boolean(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise argparse.ArgumentTypeError(f"must be true or false, not '{text}'")
    return text.lower() in _TRUE


def plain_type(hint: Any) -> Any:
    """The type of a setting's value, for example int for `int | None`, Sequence[str] for `Sequence[str] | None`."""
    if isinstance(hint, types.UnionType):
        (hint,) = (each for each in typing.get_args(hint) if each is not type(None))
    return hint


def parser_of(kind: type[Any], description: str | None) -> Parser:
    """One flag for each setting of a settings class; the description keeps its lines."""
    parser = Parser(
        usage="%(prog)s [--FLAG VALUE ...]",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    groups = {title: parser.add_argument_group(title) for title in (_OWN_GROUP, *GROUPS)}
    places: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        places |= vars(base).get("places", {})
    hints = typing.get_type_hints(kind)
    for each in dataclasses.fields(kind):
        default = each.default
        if default is None and each.name in places:
            default = f"WORK_DIR/{places[each.name]}"
        help = each.metadata["help"].replace("%", "%%")
        if default not in (None, ""):
            shown = str(default).lower() if isinstance(default, bool) else default
            help += f" (default: {shown})"
        options: dict[str, Any] = {"default": each.default, "help": help}
        value_type = plain_type(hints[each.name])
        group = groups[_GROUP_OF.get(each.name, _OWN_GROUP)]
        if value_type is bool:
            options |= {"type": _boolean, "nargs": "?", "const": True, "metavar": "true|false"}
        elif typing.get_origin(value_type) is Sequence:
            (of_each,) = typing.get_args(value_type)
            options |= {"type": of_each, "nargs": "+", "metavar": _metavar(each, of_each)}
        else:
            options |= {"type": value_type, "metavar": _metavar(each, value_type)}
        group.add_argument(f"--{each.name}", **options)
        if each.default is True:
            group.add_argument(
                f"--no_{each.name}", dest=each.name, action="store_const", const=False, help=argparse.SUPPRESS
            )
    return parser


def _metavar(each: dataclasses.Field[Any], value_type: type) -> str:
    choices = [choice for choice in each.metadata.get("choices", ()) if choice]
    return "|".join(choices) if choices else {int: "N", float: "X"}.get(value_type, each.name.upper())


def nearest(name: str, valid: Sequence[str]) -> str:
    """The valid name that was meant by another: what that is called today, or else the one spelled most like it."""
    if FORMER_NAMES.get(name) in valid:
        return FORMER_NAMES[name]
    return difflib.get_close_matches(name, valid, n=1, cutoff=0.0)[0]


def parse_arguments(parser: Parser, argv: list[str]) -> argparse.Namespace:
    """The values of a command line; a hyphen in a flag's name is as good as an underscore.

    Raises `UserError` for an unknown flag, naming the nearest one, and for a value of another type.
    """
    flags = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    written = []
    for argument in argv:
        name, equals, value = argument.partition("=")
        underscored = "--" + name[2:].replace("-", "_")
        known = name.startswith("--") and underscored in flags
        written.append(underscored + equals + value if known else argument)
    namespace, rest = parser.parse_known_args(written)
    if rest:
        name = rest[0].partition("=")[0]
        near = f"--{nearest(name[2:], [flag[2:] for flag in flags])}"
        hint = f" Did you mean {near}?" if name.startswith("--") else ""
        raise UserError(f"{rest[0]} is no flag of {parser.prog}.{hint}")
    return namespace
