"""Small random copies of the published architectures, with their files' names of weights."""

import argparse
from collections import OrderedDict

import timm
import torch
from torch import nn


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """A residual attention block under OpenAI's names."""

    def __init__(self, width, causal):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // 64, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(OrderedDict(c_fc=nn.Linear(width, 4 * width), gelu=QuickGELU(), c_proj=nn.Linear(4 * width, width)))
        self.causal = causal

    def forward(self, x):
        mask = torch.full((x.shape[1], x.shape[1]), -torch.inf).triu(1) if self.causal else None
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


def transformer(width, layers, causal):
    return nn.ModuleDict({"resblocks": nn.Sequential(*[Block(width, causal) for _ in range(layers)])})


def text_parts(module, vocabulary, width, layers=2):
    module.token_embedding = nn.Embedding(vocabulary, width)
    module.positional_embedding = nn.Parameter(torch.randn(77, width) * 0.1)
    module.transformer = transformer(width, layers, causal=True)
    module.ln_final = nn.LayerNorm(width)


def end_features(module, tokens):
    x = module.token_embedding(tokens) + module.positional_embedding
    x = module.ln_final(module.transformer["resblocks"](x))
    return x[torch.arange(len(x)), tokens.argmax(1)]


class SlipCopy(nn.Module):
    """As facebookresearch/SLIP builds it, with timm's smallest ViT."""

    def __init__(self, mlp=True, width=128, embed=32):
        super().__init__()
        self.visual = timm.create_model("vit_tiny_patch16_224", num_classes=0)
        text_parts(self, 49408, width)
        self.image_projection = nn.Parameter(torch.randn(192, embed) / 14)
        self.text_projection = nn.Parameter(torch.randn(width, embed) / 11)
        self.logit_scale = nn.Parameter(torch.tensor(3.5))
        if mlp:
            self.image_mlp = nn.Sequential(OrderedDict(layer1=nn.Linear(192, 8), bn1=nn.BatchNorm1d(8), relu1=nn.ReLU()))

    def encode_image(self, images):
        return self.visual(images) @ self.image_projection

    def encode_text(self, tokens):
        return end_features(self, tokens) @ self.text_projection


class OpenAiViT(nn.Module):
    def __init__(self, width=128, embed=32, patch=32, size=96):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn((size // patch) ** 2 + 1, width) * 0.1)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = transformer(width, 3, causal=False)
        self.proj = nn.Parameter(torch.randn(width, embed) / 11)

    def forward(self, images):
        x = self.conv1(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        return self.ln_post(self.transformer["resblocks"](self.ln_pre(x))[:, 0]) @ self.proj


class DeclipText(nn.Module):
    def __init__(self, width=128, embed=32):
        super().__init__()
        text_parts(self, 49409, width)
        self.text_projection = nn.Linear(width, embed)

    def forward(self, tokens):
        return self.text_projection(end_features(self, tokens))


class DeclipCopy(nn.Module):
    """As Sense-GVT/DeCLIP builds it: the text tower's name depends on the objective, and heads lie beside the towers."""

    def __init__(self, text_name):
        super().__init__()
        self.visual = OpenAiViT()
        setattr(self, text_name, DeclipText())
        self.logit_scale = nn.Parameter(torch.tensor([4.0]))
        if text_name == "encode_text":
            self.projector, self.predictor = nn.Linear(32, 8), nn.Linear(8, 32)
            self.text_label_predictor = nn.Linear(128, 10)
            self.nn_replacer_text = nn.Module()
            self.nn_replacer_text.register_buffer("bank", torch.randn(32, 4))
            self.nn_replacer_text.register_buffer("bank_ptr", torch.zeros(1, dtype=torch.int64))
        else:
            self.predictor_sim = nn.Linear(128, 8)
        self.text = [getattr(self, text_name)]  # in a list, so that the state has it once


def saved(model, place="state_dict", **more):
    return {place: {f"module.{name}": w for name, w in model.state_dict().items()}, "epoch": 3} | more


def slip_file(folder, model, **more):
    path = folder / "slip.pt"
    torch.save(saved(model, best_acc1=17.1, args=argparse.Namespace(model="SLIP_VITB16", lr=3e-3, betas=(0.9, 0.98)), **more), path)
    return path


def declip_file(folder, model):
    path = folder / "declip.pth.tar"
    torch.save(saved(model, place="model", step=7), path)
    return path


def seeded(kind, *arguments):
    torch.manual_seed(0)
    return kind(*arguments).eval()
