"""Tiny random checkpoints in the on-disk formats of the real models, made afresh and the same every time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

WIDTH = 32  # of every vector made here
SIDE_PX = 32  # of the pictures CLIP sees
QUERY_PROMPT = "Represent the query : "
OMNI_QUERY_PROMPT, OMNI_DOCUMENT_PROMPT = "task: search result | query: ", "title: none | text: "
RERANK_PROMPT = "Given a search query , retrieve relevant candidates that answer the query ."
_SPREAD = {"initializer_range": 0.2}  # ten times the usual, so that untrained layers tell inputs apart
_WORDS = """
    a an the of in on by at under over with and or no yes not this that is are to from . , : ; ? ! ' - |
    photo picture drawing sound video text system user assistant query document represent given search
    retrieve relevant candidates answer input task result title none
    red orange yellow green blue purple pink white black brown grey golden dark bright small big old new tall
    one two three four some many quiet loud sunny snowy empty wooden striped
    square circle triangle line dot background shape
    cat kitten dog bee butterfly bird owl horse cow fish bear tiger lion wild animal insect
    flower rose tree leaf grass forest garden meadow mountain hill river lake sea beach sky sun moon star
    snow rain car bus train boat ship sailing bicycle plane rocket street road bridge building house tower
    castle temple ancient city field door window man woman child people dancer player
    sitting standing running flying food bread apple lemon cake cup coffee ball book clock chair table
    hammer guitar drum piano trumpet bell barking singing playing music voice song thunder wind engine noise
    ein eine katze hund biene auf einer blume rotes auto
"""


@contextmanager
def _quiet_and_seeded() -> Iterator[None]:
    """Show no progress bars and messages; draw the same weights whatever was drawn before."""
    import torch
    from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

    shown, silenced = is_progress_bar_enabled(), logging.root.manager.disable
    disable_progress_bar()
    logging.disable(logging.WARNING)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    finally:
        logging.disable(silenced)
        if shown:
            enable_progress_bar()


def _tokenizer(special: Sequence[str], begin: str = "", end: str = "", **names: Any) -> Any:
    """Make a tokenizer of whole words; `special` come first, `begin` and `end` go around every text."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(dict.fromkeys([*special, *_WORDS.split()]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=names["unk_token"]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if begin:
        around = [(token, vocabulary[token]) for token in (begin, end)]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A {end}", pair=f"{begin} $A {end} $B:1 {end}:1", special_tokens=around
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def _layers(**more: Any) -> dict[str, Any]:
    """Return the size of a small transformer in the words most configurations share."""
    return {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        **_SPREAD,
        **more,
    }


def _save(modules: Sequence[Any], folder: Path, **prompts: str) -> Path:
    """Save an embedder as sentence-transformers lays it out, with its modules.json."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(modules=list(modules), device="cpu", prompts=prompts or None)
    model.save(str(folder), create_model_card=False)
    return folder


def build_clip(folder: Path) -> Path:
    """Text and pictures as OpenAI publishes CLIP: the bare checkpoint, without modules.json."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    start, end = "<|startoftext|>", "<|endoftext|>"
    tokenizer = _tokenizer(
        [end, start, "<unk>"],  # not as number 2: CLIP reads that as "the last token has the highest number"
        begin=start,
        end=end,
        unk_token="<unk>",
        bos_token=start,
        eos_token=end,
        pad_token=end,
        model_max_length=77,
    )
    text = _layers(
        vocab_size=len(tokenizer),
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = CLIPConfig(
        text_config=text, vision_config=_layers(image_size=SIDE_PX, patch_size=8), projection_dim=WIDTH
    )
    pictures = CLIPImageProcessor(
        size={"shortest_edge": SIDE_PX}, crop_size={"height": SIDE_PX, "width": SIDE_PX}
    )
    with _quiet_and_seeded():
        CLIPModel(config).save_pretrained(folder)
        CLIPProcessor(image_processor=pictures, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def build_clip_saved(folder: Path) -> Path:
    """The same CLIP as `clip`, saved by sentence-transformers with its modules.json."""
    from sentence_transformers import SentenceTransformer

    with TemporaryDirectory() as bare, _quiet_and_seeded():
        return _save(SentenceTransformer(str(build_clip(Path(bare))), device="cpu"), folder)


def _bert_tokenizer(**more: Any) -> Any:
    return _tokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        begin="[CLS]",
        end="[SEP]",
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=128,
        **more,
    )


def build_multilingual_clip(folder: Path) -> Path:
    """Text alone in the width of `clip`, as clip-ViT-B-32-multilingual-v1 is published: mean, a layer."""
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from torch.nn import Identity
    from transformers import DistilBertConfig, DistilBertModel

    tokenizer = _bert_tokenizer(model_input_names=["input_ids", "attention_mask"])
    hidden = 2 * WIDTH
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=hidden,
        hidden_dim=2 * hidden,
        n_layers=2,
        n_heads=2,
        max_position_embeddings=128,
        **_SPREAD,
    )
    with TemporaryDirectory() as bare, _quiet_and_seeded():
        DistilBertModel(config).save_pretrained(bare)
        tokenizer.save_pretrained(bare)
        dense = Dense(hidden, WIDTH, bias=False, activation_function=Identity())
        modules = [Transformer(bare), Pooling(hidden, pooling_mode="mean"), dense]
        return _save(modules, folder)


def build_text_reranker(folder: Path) -> Path:
    """Pairs of texts as ms-marco-MiniLM is published: a bare classifier with one label."""
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = _bert_tokenizer()
    config = BertConfig(
        **_layers(vocab_size=len(tokenizer), max_position_embeddings=128, pad_token_id=0),
        num_labels=1,
        sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"},
    )
    with _quiet_and_seeded():
        BertForSequenceClassification(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


_QWEN_MARKS = {
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
}
_QWEN_CHAT = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }} {% for part in message.content %}
{%- if part.type == 'text' %}{{ part.text }}
{%- else %}<|vision_start|><|{{ part.type }}_pad|><|vision_end|>{% endif %}
{%- endfor %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""
_QWEN_OPTIONS = {"chat_template": {"add_generation_prompt": True}}


def _qwen_processor() -> Any:
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer = _tokenizer(
        ["<unk>", "<|endoftext|>"],
        unk_token="<unk>",
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>", *_QWEN_MARKS.values()],
        padding_side="left",
        model_max_length=2048,
    )
    pixels = {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}
    cut = {"patch_size": 8, "merge_size": 2, "temporal_patch_size": 2, "size": pixels}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**cut),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**cut),
        chat_template=_QWEN_CHAT,
    )


def _qwen_config(tokenizer: Any) -> Any:
    from transformers import Qwen3VLConfig

    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    text = _layers(
        vocab_size=len(tokenizer),
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=2048,
        rope_parameters=rope,
    )
    vision = {
        **_SPREAD,
        "depth": 2,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_heads": 2,
        "patch_size": 8,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": WIDTH,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(mark) for name, mark in _QWEN_MARKS.items()}
    return Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)


def _save_qwen(network: type, folder: str) -> Any:
    """Save a bare Qwen3-VL checkpoint; return its tokenizer."""
    processor = _qwen_processor()
    network(_qwen_config(processor.tokenizer)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return processor.tokenizer


def build_qwen_embedder(folder: Path) -> Path:
    """Text, pictures and video as Qwen3-VL-Embedding is published: last token, normalised, a query prompt."""
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
    from transformers import Qwen3VLModel

    with TemporaryDirectory() as bare, _quiet_and_seeded():
        _save_qwen(Qwen3VLModel, bare)
        body = Transformer(bare, processing_kwargs=_QWEN_OPTIONS)
        modules = [body, Pooling(WIDTH, pooling_mode="lasttoken"), Normalize()]
        return _save(modules, folder, query=QUERY_PROMPT, document="")


def build_qwen_reranker(folder: Path) -> Path:
    """Pairs of text, pictures and video as Qwen3-VL-Reranker is published: the logit of yes against no."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.cross_encoder.modules import LogitScore
    from transformers import Qwen3VLForConditionalGeneration

    with TemporaryDirectory() as bare, _quiet_and_seeded():
        tokenizer = _save_qwen(Qwen3VLForConditionalGeneration, bare)
        body = Transformer(bare, transformer_task="any-to-any", processing_kwargs=_QWEN_OPTIONS)
        true, false = tokenizer.convert_tokens_to_ids(["yes", "no"])
        model = CrossEncoder(
            modules=[body, LogitScore(true_token_id=true, false_token_id=false)],
            device="cpu",
            prompts={"rerank": RERANK_PROMPT},
            default_prompt_name="rerank",
        )
        model.save(str(folder), create_model_card=False)
    return folder


def build_clap(folder: Path) -> Path:
    """Text and sound as LAION publishes CLAP: the bare checkpoint, two seconds at 8 kHz."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor

    tokenizer = _tokenizer(
        ["<s>", "<pad>", "</s>", "<unk>"],
        begin="<s>",
        end="</s>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        model_max_length=64,
    )
    spectra = ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=8000,
        hop_length=160,
        fft_window_size=256,
        max_length_s=2,
        frequency_min=50,
        frequency_max=3500,
        truncation="rand_trunc",
        padding="repeatpad",
    )
    spread = {"initializer_factor": 4.0}  # what CLAP has instead of a range
    text = _layers(
        vocab_size=len(tokenizer), max_position_embeddings=80, pad_token_id=1, type_vocab_size=1, **spread
    )
    audio = {
        "hidden_size": WIDTH,
        **spread,
        "patch_embeds_hidden_size": WIDTH // 2,
        "spec_size": 64,
        "num_mel_bins": 16,
        "window_size": 4,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "patch_size": 4,
        "patch_stride": [4, 4],
        "num_classes": 4,
        "enable_fusion": False,
    }
    with _quiet_and_seeded():
        config = ClapConfig(text_config=text, audio_config=audio, projection_dim=WIDTH)
        ClapModel(config).save_pretrained(folder)
        ClapProcessor(feature_extractor=spectra, tokenizer=tokenizer).save_pretrained(folder)
    return folder


_GEMMA_MARKS = {
    "boi_token": "<|image>",
    "image_token": "<|image|>",
    "eoi_token": "<image|>",
    "boa_token": "<|audio>",
    "audio_token": "<|audio|>",
    "eoa_token": "<audio|>",
    "video_token": "<|video|>",
}
_MELS = 16  # of a spectrum; the sound tower takes as many as its first convolution has channels
_GEMMA_PATCHES = {"patch_size": 4, "pooling_kernel_size": 2, "max_soft_tokens": 70}
_GEMMA_CHAT = """\
{{ bos_token }}
{%- for message in messages %}{% for part in message.content %}
{%- if part.type == 'text' %}{{ part.text }}{% else %}<|{{ part.type }}|>{% endif %}
{%- endfor %}{% endfor %}{{ eos_token }}
"""


def _gemma_processor() -> Any:
    from transformers import (
        EmbeddingGemma2Processor,
        EmbeddingGemma2VideoProcessor,
        Gemma4AudioFeatureExtractor,
        Gemma4ImageProcessor,
    )

    tokenizer = _tokenizer(
        ["<pad>", "<eos>", "<bos>", "<unk>", *_GEMMA_MARKS.values()],
        begin="<bos>",
        end="<eos>",
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        extra_special_tokens=_GEMMA_MARKS,
        model_max_length=8192,
    )
    return EmbeddingGemma2Processor(
        feature_extractor=Gemma4AudioFeatureExtractor(feature_size=_MELS),
        image_processor=Gemma4ImageProcessor(**_GEMMA_PATCHES),
        tokenizer=tokenizer,
        video_processor=EmbeddingGemma2VideoProcessor(**_GEMMA_PATCHES),
        chat_template=_GEMMA_CHAT,
    )


def _gemma_config(tokenizer: Any) -> Any:
    from transformers import EmbeddingGemma2Config

    grouped = {"num_key_value_heads": 1, "head_dim": 16}
    text = _layers(
        **grouped,
        vocab_size=len(tokenizer),
        global_head_dim=16,
        num_global_key_value_heads=1,
        max_position_embeddings=8192,
        layer_types=["sliding_attention", "full_attention"],
        hidden_size_per_layer_input=8,
        embedding_dim=WIDTH,
    )
    cut = {key: _GEMMA_PATCHES[key] for key in ("patch_size", "pooling_kernel_size")}
    vision = _layers(model_type="gemma4_vision", **grouped, **cut, position_embedding_size=512)
    audio = _layers(model_type="gemma4_audio", subsampling_conv_channels=[_MELS, 4], output_proj_dims=WIDTH)
    del audio["intermediate_size"]
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(mark) for name, mark in _GEMMA_MARKS.items()}
    ids["eoa_token_index"] = ids.pop("eoa_token_id")
    return EmbeddingGemma2Config(text_config=text, vision_config=vision, audio_config=audio, **ids)


def build_omni(folder: Path) -> Path:
    """Text, pictures, sound and video as EmbeddingGemma 2 is published: mean pooling, normalised, prompts."""
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
    from transformers import EmbeddingGemma2Model

    processor = _gemma_processor()
    with TemporaryDirectory() as bare, _quiet_and_seeded():
        EmbeddingGemma2Model(_gemma_config(processor.tokenizer)).save_pretrained(bare)
        processor.save_pretrained(bare)
        modules = [Transformer(bare), Pooling(WIDTH, pooling_mode="mean"), Normalize()]
        return _save(modules, folder, query=OMNI_QUERY_PROMPT, document=OMNI_DOCUMENT_PROMPT)


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "clip": build_clip,
    "clip_saved": build_clip_saved,
    "multilingual_clip": build_multilingual_clip,
    "qwen_embedder": build_qwen_embedder,
    "qwen_reranker": build_qwen_reranker,
    "clap": build_clap,
    "text_reranker": build_text_reranker,
    "omni": build_omni,
}
