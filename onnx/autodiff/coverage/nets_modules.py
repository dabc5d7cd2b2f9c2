"""Modules as people write them themselves: each is a small network over images, [3, 16, 16] unless NETS says otherwise.

NETS maps a name to (constructor, image size, batch). A class's outputs counts its results, of which the first are the scores;
loss is that of scores which are no logits.
"""
import math
import torch
from torch import nn
import torch.nn.functional as F

CLASSES, TRIES, TRIES_LARGE, SEED, OTHER = 10, 12, 4, 0, set()
NETS = {}
# What a file without kinds of tensors does not say: buffers that could be parameters, and parameters that could be constants.
TOLD = {"attention_masked_buffer": ["table"], "spectral_norm_like": ["middle.u"], "fourier_filter": ["middle.0.cos", "middle.0.sin"], "log_mel_like": ["bank"],
        "frozen_constants": ["middle.weight", "middle.bias", "middle.mean", "middle.var"]}
ASKED = {"cosine_attention_temperature": ["temperature"], "learned_scales": ["middle.a"],
         "gem_pooling": ["middle.p"], "gru_last_hidden": ["h0"]}


def net(size=16, batch=4):
    def add(cls):
        NETS[cls.__name__] = (cls, size, batch)
        return cls
    return add


def build(name):
    from gen import steady_norms
    torch.manual_seed(SEED)
    model = NETS[name][0]()
    steady_norms(model)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d) and m.bias.max() < 0:  # not all channels shall end at ReLU
            m.bias.data[0].abs_()
        if isinstance(m, nn.Dropout) and not getattr(model, "evaluated", False):
            m.p = 0.0
    model.train(not getattr(model, "evaluated", False))
    for m in model.modules():
        if getattr(m, "kept", False):  # frozen statistics
            m.eval()
    return model


def conv(a, b, k=3, **kw):
    return nn.Conv2d(a, b, k, padding=kw.pop("padding", k // 2), **kw)


def stem(out=8):
    """[N, 3, 16, 16] to [N, out, 8, 8]."""
    return nn.Sequential(conv(3, out, stride=2), nn.BatchNorm2d(out), nn.ReLU())


class Head(nn.Module):
    """Mean over positions, then a linear layer."""
    def __init__(self, c):
        super().__init__()
        self.fc = nn.Linear(c, CLASSES)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


class Between(nn.Module):
    """A stem, a middle that keeps or changes the map of [N, 8, 8, 8], and a head."""
    def __init__(self, middle, out=8):
        super().__init__()
        self.stem, self.middle, self.head = stem(), middle, Head(out)

    def forward(self, x):
        return self.head(self.middle(self.stem(x)))


def between(name, middle, out=8):
    NETS[name] = (lambda: Between(middle(), out), 16, 4)


def tokens(x):
    return x.flatten(2).transpose(1, 2)


# Recurrent heads: rows of the map are steps.

class Recurrent(nn.Module):
    def __init__(self, kind, last=True, **kw):
        super().__init__()
        self.stem, self.rnn, self.last = stem(), kind(64, 12, batch_first=True, **kw), last
        self.fc = nn.Linear(12 * (2 if kw.get("bidirectional") else 1), CLASSES)

    def forward(self, x):
        y, _ = self.rnn(self.stem(x).permute(0, 2, 1, 3).flatten(2))
        return self.fc(y[:, -1] if self.last else y.mean(1))


for _name, _args in {
    "lstm": (nn.LSTM, True, {}), "lstm_bidirectional": (nn.LSTM, False, dict(bidirectional=True)),
    "lstm_two_layers": (nn.LSTM, True, dict(num_layers=2)), "gru": (nn.GRU, True, {}),
    "gru_bidirectional_two_layers": (nn.GRU, False, dict(bidirectional=True, num_layers=2)),
    "rnn_tanh": (nn.RNN, True, {}), "rnn_relu_bidirectional": (nn.RNN, False, dict(nonlinearity="relu", bidirectional=True)),
    "lstm_no_bias": (nn.LSTM, True, dict(bias=False)),
}.items():
    NETS[_name] = (lambda a=_args: Recurrent(a[0], a[1], **a[2]), 16, 4)


@net()
class lstm_cell_loop(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.fc = nn.LSTMCell(48, 16), nn.Linear(16, CLASSES)

    def forward(self, x):
        x = x.permute(0, 2, 1, 3).flatten(2)
        h = c = x.new_zeros(x.shape[0], 16)
        for t in range(0, 16, 4):
            h, c = self.cell(x[:, t], (h, c))
        return self.fc(h)


@net()
class gru_last_hidden(nn.Module):
    """Takes h_n, with an initial state that is trained."""
    def __init__(self):
        super().__init__()
        self.gru, self.h0, self.fc = nn.GRU(48, 16), nn.Parameter(torch.randn(1, 1, 16)), nn.Linear(16, CLASSES)

    def forward(self, x):
        _, h = self.gru(x.permute(2, 0, 1, 3).flatten(2), self.h0.expand(-1, x.shape[0], -1).contiguous())
        return self.fc(h[0])


# Attention.

@net()
class attention_by_hand(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.qkv, self.proj, self.head = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 48), nn.Linear(16, 16), nn.Linear(16, CLASSES)

    def forward(self, x):
        x = tokens(self.embed(x))
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        a = ((q @ k.transpose(-2, -1)) * (c // 4) ** -0.5).softmax(-1)
        return self.head((x + self.proj((a @ v).transpose(1, 2).reshape(n, t, c))).mean(1))


@net()
class attention_sdpa(attention_by_hand):
    def forward(self, x):
        x = tokens(self.embed(x))
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        return self.head((x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c))).mean(1))


@net()
class attention_sdpa_causal(attention_by_hand):
    def forward(self, x):
        x = tokens(self.embed(x))
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        return self.head((x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, c)))[:, -1])


@net()
class attention_masked_buffer(attention_by_hand):
    """A mask of 0 and -100 and a table of positions, as buffers."""
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.where(torch.rand(16, 16) > 0.7, -100.0, 0.0).fill_diagonal_(0))
        self.register_buffer("table", torch.randn(1, 16, 16))

    def forward(self, x):
        x = tokens(self.embed(x)) + self.table
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-2, -1) * (c // 4) ** -0.5 + self.mask).softmax(-1)
        return self.head((x + self.proj((a @ v).transpose(1, 2).reshape(n, t, c))).mean(1))


@net()
class attention_masked_fill(attention_by_hand):
    def __init__(self):
        super().__init__()
        self.register_buffer("allowed", torch.tril(torch.ones(16, 16, dtype=torch.bool)))

    def forward(self, x):
        x = tokens(self.embed(x))
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-2, -1) * (c // 4) ** -0.5).masked_fill(~self.allowed[:t, :t], float("-inf")).softmax(-1)
        return self.head((x + self.proj((a @ v).transpose(1, 2).reshape(n, t, c)))[:, -1])


@net()
class multihead_attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.attn, self.head = nn.Conv2d(3, 16, 4, 4), nn.MultiheadAttention(16, 4, batch_first=True), nn.Linear(16, CLASSES)

    def forward(self, x):
        x = tokens(self.embed(x))
        return self.head((x + self.attn(x, x, x, need_weights=False)[0]).mean(1))


@net()
class transformer_encoder(nn.Module):
    """Two layers that share their parameters, a class token, positions and GELU."""
    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, 4)
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, 16)), nn.Parameter(torch.randn(1, 17, 16))
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, 0.0, "gelu", batch_first=True, norm_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = tokens(self.embed(x))
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.layer(self.layer(x))[:, 0])


@net()
class linear_attention_einsum(attention_by_hand):
    def forward(self, x):
        x = tokens(self.embed(x))
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        y = torch.einsum("bhnd,bhde->bhne", q, torch.einsum("bhnd,bhne->bhde", k, v))
        y = y / torch.einsum("bhnd,bhd->bhn", q, k.sum(2)).unsqueeze(-1)
        return self.head((x + self.proj(y.transpose(1, 2).reshape(n, t, c))).mean(1))


@net()
class rotary_attention(attention_by_hand):
    """Tables of sines and cosines as buffers, halves swapped."""
    def __init__(self):
        super().__init__()
        angle = torch.arange(16)[:, None] * 100.0 ** (-torch.arange(2) / 2)
        self.register_buffer("cos", angle.cos().repeat(1, 2))
        self.register_buffer("sin", angle.sin().repeat(1, 2))

    def turn(self, x):
        a, b = x.chunk(2, -1)
        return x * self.cos + torch.cat([-b, a], -1) * self.sin

    def forward(self, x):
        x = tokens(self.embed(x))
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        a = (self.turn(q) @ self.turn(k).transpose(-2, -1) / 2).softmax(-1)
        return self.head((x + self.proj((a @ v).transpose(1, 2).reshape(n, t, c))).mean(1))


@net()
class relative_position_bias(attention_by_hand):
    """A table indexed by a buffer of integers."""
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(49, 4) * 0.2)
        at = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")).flatten(1)
        d = (at[:, :, None] - at[:, None]) + 3
        self.register_buffer("index", d[0] * 7 + d[1])

    def forward(self, x):
        x = tokens(self.embed(x))
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index.view(-1)].view(t, t, 4).permute(2, 0, 1)
        a = (q @ k.transpose(-2, -1) / 2 + bias).softmax(-1)
        return self.head((x + self.proj((a @ v).transpose(1, 2).reshape(n, t, c))).mean(1))


@net()
class cosine_attention_temperature(attention_by_hand):
    """Normalised queries and keys, and a temperature of no dimension."""
    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(1.3))

    def forward(self, x):
        x = tokens(self.embed(x))
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        a = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature.clamp(max=4.6).exp()).softmax(-1)
        return self.head((x + self.proj((a @ v).transpose(1, 2).reshape(n, t, c))).mean(1))


@net()
class windowed_attention_roll(attention_by_hand):
    """Shifted windows by roll, view and permute."""
    def forward(self, x):
        x = torch.roll(self.embed(x), (-1, -1), (2, 3))
        n, c, h, w = x.shape
        x = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, c)
        q, k, v = self.qkv(x).reshape(-1, 4, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        y = self.proj(((q @ k.transpose(-2, -1) / 2).softmax(-1) @ v).transpose(1, 2).reshape(-1, 4, c))
        y = (x + y).view(n, h // 2, w // 2, 2, 2, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)
        return self.head(torch.roll(y, (1, 1), (2, 3)).amax((2, 3)))


# Normalisations and activations.

for _name, _norm in {
    "group_norm": lambda: nn.GroupNorm(4, 8), "instance_norm_affine": lambda: nn.InstanceNorm2d(8, affine=True),
    "local_response_norm": lambda: nn.LocalResponseNorm(5, 1.0, 0.75, 2.0), "layer_norm_map": lambda: nn.LayerNorm([8, 8, 8]),
}.items():
    between(_name, lambda n=_norm: nn.Sequential(conv(8, 8), n(), conv(8, 8), nn.GELU()))


@net()
class rms_norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.norm, self.fc, self.head = nn.Conv2d(3, 16, 4, 4), nn.RMSNorm(16), nn.Linear(16, 16), nn.Linear(16, CLASSES)

    def forward(self, x):
        x = tokens(self.embed(x))
        return self.head((x + F.silu(self.fc(self.norm(x)))).mean(1))


class LayerNorm2d(nn.Module):
    """By hand, over channels first."""
    def __init__(self, c):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(c) + 0.5), nn.Parameter(torch.randn(c))

    def forward(self, x):
        u = x.mean(1, keepdim=True)
        s = (x - u).pow(2).mean(1, keepdim=True)
        return (x - u) / torch.sqrt(s + 1e-6) * self.weight[:, None, None] + self.bias[:, None, None]


class GlobalResponseNorm(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.randn(1, c, 1, 1)), nn.Parameter(torch.randn(1, c, 1, 1))

    def forward(self, x):
        g = x.norm(p=2, dim=(2, 3), keepdim=True)
        return x + self.gamma * (x * (g / (g.mean(1, keepdim=True) + 1e-6))) + self.beta


class WeightStandardised(nn.Conv2d):
    def forward(self, x):
        w = self.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.var((1, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
        return F.conv2d(x, w, self.bias, self.stride, self.padding)


def weight_norm_old():
    m = torch.nn.utils.weight_norm(conv(8, 8))
    m.weight = m.weight.detach()  # computed anew before each pass; torch copies leaves only
    return m


def weight_norm_new():
    return torch.nn.utils.parametrizations.weight_norm(conv(8, 8))


class SqueezeExcite(nn.Module):
    def __init__(self, c=8):
        super().__init__()
        self.down, self.up = nn.Linear(c, 4), nn.Linear(4, c)

    def forward(self, x):
        return x * torch.sigmoid(self.up(F.silu(self.down(x.mean((2, 3))))))[:, :, None, None]


class Slope(nn.Module):
    """A single number that scales a branch, by a shape of [1] and by none."""
    def __init__(self):
        super().__init__()
        self.a, self.b, self.conv = nn.Parameter(torch.tensor(0.7)), nn.Parameter(torch.tensor([0.3])), conv(8, 8)

    def forward(self, x):
        return self.a * x + self.b * torch.tanh(self.conv(x))


class ChannelShuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = conv(8, 16, 1, groups=4), conv(16, 8, groups=4)

    def forward(self, x):
        x = self.a(x)
        n, c, h, w = x.shape
        return self.b(x.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w))


class Dense(nn.Module):
    """Concatenations of 24, 40 and 56 channels."""
    def __init__(self):
        super().__init__()
        self.first, self.layers = conv(8, 24), nn.ModuleList([conv(24, 16), conv(40, 16)])
        self.norm, self.last = nn.BatchNorm2d(56), conv(56, 8)

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = torch.cat([x, F.relu(layer(x))], 1)
        return self.last(F.relu(self.norm(x)))


class SplitBranches(nn.Module):
    """Halves and quarters of the channels go their own way."""
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv(2, 2), conv(2, 2, groups=2), conv(4, 4, 1)

    def forward(self, x):
        a, b, c = torch.split(x, [2, 2, 4], 1)
        return torch.cat([F.relu(self.a(a)), self.b(b + a), self.c(c)], 1) + x


class Shared(nn.Module):
    """One convolution and one normalisation, used three times."""
    def __init__(self):
        super().__init__()
        self.conv, self.norm = conv(8, 8), nn.GroupNorm(2, 8)

    def forward(self, x):
        for _ in range(3):
            x = x + F.silu(self.norm(self.conv(x)))
        return x


class FrozenNorm(nn.Module):
    """Batch normalisation in evaluation mode among others that train."""
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.conv2, self.norm2 = conv(8, 8), nn.BatchNorm2d(8), conv(8, 8), nn.BatchNorm2d(8)
        self.norm.kept = True
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        return self.norm2(self.conv2(F.silu(self.norm(self.conv(x)))))


class FrozenConstants(nn.Module):
    """Batch normalisation with fixed scale and shift, as detectors keep it: all four are buffers."""
    def __init__(self):
        super().__init__()
        self.conv = conv(8, 8)
        for name, v in dict(weight=torch.rand(8) + 0.5, bias=torch.randn(8), mean=torch.randn(8), var=torch.rand(8) + 0.5).items():
            self.register_buffer(name, v)

    def forward(self, x):
        scale = self.weight * (self.var + 1e-5).rsqrt()
        return self.conv(x) * scale[None, :, None, None] + (self.bias - self.mean * scale)[None, :, None, None]


class Blur(nn.Module):
    """A fixed filter by channel."""
    def __init__(self):
        super().__init__()
        f = torch.tensor([1.0, 2, 1])
        self.register_buffer("filt", (f[:, None] * f / 16).repeat(8, 1, 1, 1))
        self.conv = conv(8, 8)

    def forward(self, x):
        return self.conv(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=8))


class CoordConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv(10, 8)

    def forward(self, x):
        n, _, h, w = x.shape
        ys, xs = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        return self.conv(torch.cat([x, torch.stack([ys, xs])[None].expand(n, -1, -1, -1).to(x)], 1))


class ConvGRUSteps(nn.Module):
    """A constant count of steps of a convolutional gate."""
    def __init__(self):
        super().__init__()
        self.gate, self.new = conv(16, 8), conv(16, 8)

    def forward(self, x):
        h = torch.zeros_like(x)
        for _ in range(3):
            z = torch.sigmoid(self.gate(torch.cat([x, h], 1)))
            h = (1 - z) * h + z * torch.tanh(self.new(torch.cat([x, z * h], 1)))
        return h


class RungeKutta(nn.Module):
    """Four steps of Runge-Kutta of fourth order of dx/dt = f(x)."""
    def __init__(self):
        super().__init__()
        self.conv = conv(8, 8)

    def f(self, x):
        return torch.tanh(self.conv(x))

    def forward(self, x):
        h = 0.25
        for _ in range(4):
            a = self.f(x)
            b = self.f(x + h / 2 * a)
            c = self.f(x + h / 2 * b)
            x = x + h / 6 * (a + 2 * b + 2 * c + self.f(x + h * c))
        return x


class Experts(nn.Module):
    """A mixture of three, weighted by a softmax over the pooled map."""
    def __init__(self):
        super().__init__()
        self.gate, self.experts = nn.Linear(8, 3), nn.ModuleList([conv(8, 8) for _ in range(3)])

    def forward(self, x):
        g = self.gate(x.mean((2, 3))).softmax(-1)
        return (torch.stack([F.gelu(e(x)) for e in self.experts], 1) * g[:, :, None, None, None]).sum(1)


class TopExperts(nn.Module):
    """The two largest of four gates are kept and normalised."""
    def __init__(self):
        super().__init__()
        self.gate, self.experts = nn.Linear(8, 4), nn.ModuleList([conv(8, 8) for _ in range(4)])

    def forward(self, x):
        value, at = self.gate(x.mean((2, 3))).topk(2, -1)
        g = torch.zeros(x.shape[0], 4).to(x).scatter(1, at, value.softmax(-1))
        return (torch.stack([torch.tanh(e(x)) for e in self.experts], 1) * g[:, :, None, None, None]).sum(1)


class DynamicFilters(nn.Module):
    """Filters mixed per image, by a grouped convolution over the batch."""
    def __init__(self):
        super().__init__()
        self.gate, self.weight = nn.Linear(8, 3), nn.Parameter(torch.randn(3, 8, 8, 3, 3) * 0.1)

    def forward(self, x):
        n, c, h, w = x.shape
        f = torch.einsum("nk,kabcd->nabcd", self.gate(x.mean((2, 3))).softmax(-1), self.weight)
        u = F.unfold(x, 3, padding=1)
        return torch.bmm(f.reshape(n, c, c * 9), u).reshape(n, c, h, w)


class Involution(nn.Module):
    """A kernel per position, by unfold."""
    def __init__(self):
        super().__init__()
        self.kernel = conv(8, 2 * 9, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        k = self.kernel(x).view(n, 2, 1, 9, h, w)
        return (k * F.unfold(x, 3, padding=1).view(n, 2, c // 2, 9, h, w)).sum(3).view(n, c, h, w)


class UnfoldFold(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(32, 32)

    def forward(self, x):
        u = F.unfold(x, 2, stride=2).transpose(1, 2)
        return F.fold(torch.tanh(self.fc(u)).transpose(1, 2), (8, 8), 2, stride=2)


class UnfoldFoldOverlap(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(72, 72)

    def forward(self, x):
        return F.fold(self.fc(F.unfold(x, 3, padding=1, stride=2).transpose(1, 2)).transpose(1, 2), (8, 8), 3, padding=1, stride=2)


class Spatial(nn.Module):
    """A spatial transformer: an affine grid drawn from the map, sampled with F.grid_sample."""
    def __init__(self, **kw):
        super().__init__()
        self.kw, self.fc = kw, nn.Linear(8 * 64, 6)
        nn.init.normal_(self.fc.weight, 0, 0.01)
        self.fc.bias = nn.Parameter(torch.tensor([0.9, 0.1, 0.05, -0.1, 0.8, 0.03]))

    def forward(self, x):
        grid = F.affine_grid(self.fc(x.flatten(1)).view(-1, 2, 3), x.size(), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False, **self.kw)


class Warp(nn.Module):
    """A flow of offsets added to a fixed grid."""
    def __init__(self, **kw):
        super().__init__()
        self.kw, self.flow, self.conv = kw, conv(8, 2), conv(8, 8)
        ys, xs = torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8), indexing="ij")
        self.register_buffer("grid", torch.stack([xs, ys], -1)[None])

    def forward(self, x):
        grid = self.grid + 0.2 * torch.tanh(self.flow(x)).permute(0, 2, 3, 1)
        return self.conv(F.grid_sample(x, grid, align_corners=True, **self.kw))


class Deformable(nn.Module):
    def __init__(self):
        super().__init__()
        import torchvision
        self.offset, self.conv = conv(8, 18), torchvision.ops.DeformConv2d(8, 8, 3, padding=1)

    def forward(self, x):
        return self.conv(x, 0.5 * torch.tanh(self.offset(x)))


class Fourier(nn.Module):
    """A global filter: real and imaginary parts by products with fixed matrices of cosines and sines."""
    def __init__(self):
        super().__init__()
        a = torch.arange(8)[:, None] * torch.arange(8) * 2 * math.pi / 8
        self.register_buffer("cos", a.cos() / math.sqrt(8))
        self.register_buffer("sin", a.sin() / math.sqrt(8))
        self.re, self.im = nn.Parameter(torch.randn(8, 8, 8)), nn.Parameter(torch.randn(8, 8, 8))

    def forward(self, x):
        re, im = x @ self.cos, -(x @ self.sin)
        re, im = re * self.re - im * self.im, re * self.im + im * self.re
        return re @ self.cos - im @ self.sin


class Slices(nn.Module):
    """Four phases of the map, a negative step's worth of flips, odd and even columns."""
    def __init__(self):
        super().__init__()
        self.conv = conv(32, 8)

    def forward(self, x):
        x = torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
        y = self.conv(x)
        return y[:, :, 1:, :-1] + y.flip(3)[:, :, :-1, 1:] * y[:, :1, 1:, 1:]


class GatherScatter(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.register_buffer("order", torch.randperm(64))

    def forward(self, x):
        n, c, h, w = x.shape
        t = tokens(x)
        t = self.fc(t[:, self.order])
        at = self.order[None, :, None].expand(n, -1, c)
        return torch.zeros_like(t).scatter(1, at, t).transpose(1, 2).reshape(n, c, h, w) + torch.gather(t, 1, at).transpose(1, 2).reshape(n, c, h, w)


class TopTokens(nn.Module):
    """The 16 of 64 positions of the largest score are kept."""
    def __init__(self):
        super().__init__()
        self.score, self.fc = nn.Linear(8, 1), nn.Linear(8, 8)

    def forward(self, x):
        t = tokens(x)
        s, at = self.score(t).squeeze(-1).topk(16, 1)
        t = torch.gather(t, 1, at.unsqueeze(-1).expand(-1, -1, t.shape[-1])) * torch.sigmoid(s).unsqueeze(-1)
        return self.fc(t).transpose(1, 2).reshape(t.shape[0], 8, 4, 4)


class Cumulative(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        t = torch.cumsum(self.fc(tokens(x)), 1) / torch.arange(1, 65).view(1, -1, 1)
        return torch.tanh(t).transpose(1, 2).reshape_as(x)


class SelectiveScan(nn.Module):
    """A diagonal state space, in a loop over eight rows."""
    def __init__(self):
        super().__init__()
        self.a, self.dt, self.b, self.c, self.d = nn.Parameter(torch.rand(8, 4)), nn.Linear(8, 8), nn.Linear(8, 4), nn.Linear(8, 4), nn.Parameter(torch.ones(8))

    def forward(self, x):
        u = x.mean(3).transpose(1, 2)
        dt = F.softplus(self.dt(u))
        decay = torch.exp(-dt[..., None] * torch.exp(self.a))
        drive = (dt * u)[..., None] * self.b(u)[:, :, None]
        h, ys = torch.zeros_like(drive[:, 0]), []
        for t in range(8):
            h = decay[:, t] * h + drive[:, t]
            ys.append((h * self.c(u)[:, t, None]).sum(-1))
        return (torch.stack(ys, 1) + u * self.d).transpose(1, 2)[..., None]


class EinsumEllipsis(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.v = nn.Parameter(torch.randn(8, 8) * 0.3), nn.Parameter(torch.randn(8, 8) * 0.3)

    def forward(self, x):
        return torch.einsum("n...w,wv->n...v", torch.tanh(torch.einsum("nc...,dc->nd...", x, self.w)), self.v)


class Bilinear(nn.Module):
    """Second-order pooling with a signed square root."""
    def forward(self, x):
        t = x.flatten(2)
        g = torch.bmm(t, t.transpose(1, 2)).flatten(1) / t.shape[-1]
        return F.normalize(torch.sign(g) * torch.sqrt(g.abs() + 1e-5)).view(-1, 64, 1, 1)


class GeM(nn.Module):
    """A generalised mean with a trained exponent."""
    def __init__(self):
        super().__init__()
        self.p, self.conv = nn.Parameter(torch.ones(1) * 3), conv(8, 8)

    def forward(self, x):
        x = self.conv(x).sigmoid()
        return x.clamp(min=1e-6).pow(self.p).mean((2, 3), keepdim=True).pow(1.0 / self.p)


class PoolPyramid(nn.Module):
    """Pyramid pooling: adaptive means of 1, 2 and 4 and a maximum of 2, upsampled and joined."""
    def __init__(self):
        super().__init__()
        self.convs, self.last = nn.ModuleList([conv(8, 4, 1) for _ in range(4)]), conv(24, 8)

    def forward(self, x):
        p = [F.adaptive_avg_pool2d(x, s) for s in (1, 2, 4)] + [F.adaptive_max_pool2d(x, 2)]
        return self.last(torch.cat([x] + [F.interpolate(c(y), size=(8, 8), mode="bilinear", align_corners=False) for c, y in zip(self.convs, p)], 1))


class UNet(nn.Module):
    """Down by strides, up by transposed convolution and by nearest neighbours, with skips."""
    def __init__(self):
        super().__init__()
        self.d1, self.d2, self.u1, self.c1 = conv(8, 12, stride=2), conv(12, 16, stride=2), nn.ConvTranspose2d(16, 12, 2, 2), conv(24, 12)
        self.u2, self.c2 = nn.Upsample(scale_factor=2), conv(20, 8)

    def forward(self, x):
        a = F.relu(self.d1(x))
        b = F.relu(self.d2(a))
        a = F.relu(self.c1(torch.cat([self.u1(b), a], 1)))
        return self.c2(torch.cat([self.u2(a), x], 1))


class Odd(nn.Module):
    """Transposed convolutions with output padding, dilation, groups and uneven strides."""
    def __init__(self):
        super().__init__()
        self.a = nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.b = nn.ConvTranspose2d(8, 8, (3, 2), stride=(1, 2), dilation=2, bias=False)

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


class OddConv(nn.Module):
    """Uneven kernels, strides, padding and dilation, with padding modes."""
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(8, 8, (3, 5), stride=(2, 1), padding=(2, 1), dilation=(2, 1), groups=4)
        self.b = nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular")
        self.c = nn.Conv2d(8, 8, (1, 4), padding="same")

    def forward(self, x):
        return self.c(F.silu(self.b(F.silu(self.a(x)))))


class AntialiasedResize(nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.mode, self.conv = mode, conv(8, 8)

    def forward(self, x):
        return self.conv(F.interpolate(x, size=(5, 5), mode=self.mode, antialias=True, align_corners=False))


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = conv(8, 16)

    def forward(self, x):
        return F.glu(self.a(x), 1)


class MaxOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = conv(8, 24)

    def forward(self, x):
        x = self.a(x)
        return x.view(x.shape[0], 8, 3, *x.shape[2:]).max(2)[0]


class Activations(nn.Module):
    """Most of torch.nn's smooth activations, one after another."""
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([conv(8, 8, 1) for _ in range(12)])
        self.acts = nn.ModuleList([nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Mish(), nn.ELU(), nn.SELU(), nn.CELU(), nn.Softplus(),
                                   nn.Softsign(), nn.Tanh(), nn.LogSigmoid(), nn.Hardswish()])

    def forward(self, x):
        for c, a in zip(self.convs, self.acts):
            x = x + a(c(x))
        return x


class Kinked(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([conv(8, 8, 1) for _ in range(7)])
        self.acts = nn.ModuleList([nn.ReLU6(), nn.Hardtanh(-0.5, 0.9), nn.Hardsigmoid(), nn.LeakyReLU(0.1), nn.Softshrink(0.2),
                                   nn.Hardshrink(0.2), nn.Threshold(0.1, 0.05)])

    def forward(self, x):
        for c, a in zip(self.convs, self.acts):
            x = x + a(c(x))
        return x


for _name, _make in {
    "layer_norm_by_hand": lambda: nn.Sequential(conv(8, 8), LayerNorm2d(8), nn.GELU()),
    "global_response_norm": lambda: nn.Sequential(conv(8, 8), GlobalResponseNorm(8)),
    "weight_standardisation": lambda: WeightStandardised(8, 8, 3, padding=1), "weight_norm_old": weight_norm_old, "weight_norm_new": weight_norm_new,
    "spectral_norm_like": lambda: Spectral(), "squeeze_excite": SqueezeExcite, "learned_scales": Slope,
    "prelu_shared": lambda: nn.Sequential(conv(8, 8), nn.PReLU()), "prelu_by_channel": lambda: nn.Sequential(conv(8, 8), nn.PReLU(8)),
    "channel_shuffle": ChannelShuffle, "dense_24_40_56": Dense, "split_branches": SplitBranches, "shared_layers": Shared,
    "frozen_batch_norm": FrozenNorm, "frozen_constants": FrozenConstants, "blur_pool": Blur, "coord_conv": CoordConv,
    "conv_gru_steps": ConvGRUSteps, "runge_kutta_steps": RungeKutta, "mixture_of_experts": Experts, "top2_experts": TopExperts,
    "dynamic_filters": DynamicFilters, "involution": Involution, "unfold_fold": UnfoldFold, "unfold_fold_overlap": UnfoldFoldOverlap,
    "spatial_transformer": Spatial, "warp_bilinear_border": lambda: Warp(padding_mode="border"), "warp_bicubic": lambda: Warp(mode="bicubic"),
    "deformable_conv": Deformable, "fourier_filter": lambda: nn.Sequential(Fourier(), conv(8, 8), nn.SiLU()), "slices_and_flips": Slices, "gather_scatter": GatherScatter,
    "top_tokens": TopTokens, "cumsum_mean": Cumulative, "selective_scan": SelectiveScan, "einsum_ellipsis": EinsumEllipsis, "gem_pooling": GeM,
    "pyramid_pooling": PoolPyramid, "unet_skips": UNet, "transposed_conv_odd": Odd, "conv_odd": OddConv,
    "resize_antialias_bilinear": lambda: AntialiasedResize("bilinear"), "resize_antialias_bicubic": lambda: AntialiasedResize("bicubic"),
    "glu": Gated, "maxout": MaxOut, "activations_smooth": Activations, "activations_kinked": Kinked,
    "upsample_modes": lambda: nn.Sequential(conv(8, 8), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), conv(8, 8),
                                            nn.Upsample(scale_factor=1.5, mode="bicubic"), conv(8, 8), nn.Upsample(size=(9, 7), mode="nearest")),
    "max_pool_odd": lambda: nn.Sequential(conv(8, 8), nn.MaxPool2d(3, 2, 1, ceil_mode=True), conv(8, 8), nn.MaxPool2d((2, 1), (1, 2), dilation=(2, 1))),
    "avg_pool_odd": lambda: nn.Sequential(conv(8, 8), nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), conv(8, 8), nn.AvgPool2d((2, 3), 1)),
    "lp_pool": lambda: nn.Sequential(conv(8, 8), nn.Sigmoid(), nn.LPPool2d(2, 2), conv(8, 8)),
    "reflection_replication_pad": lambda: nn.Sequential(nn.ReflectionPad2d(2), conv(8, 8, padding=0), nn.ReplicationPad2d((1, 2, 0, 1)), conv(8, 8, padding=0), nn.ConstantPad2d(1, 0.5)),
}.items():
    between(_name, _make)
between("bilinear_pooling", Bilinear, 64)
between("pixel_shuffle", lambda: nn.Sequential(nn.PixelUnshuffle(2), conv(32, 32), nn.SiLU(), nn.PixelShuffle(2)))


class Spectral(nn.Module):
    """The largest singular value by two rounds of the power method from a fixed vector; the rounds are differentiated too."""
    def __init__(self):
        super().__init__()
        self.conv = conv(8, 8)
        self.register_buffer("u", F.normalize(torch.randn(8), dim=0))

    def forward(self, x):
        w = self.conv.weight.flatten(1)
        u = self.u
        for _ in range(2):
            v = F.normalize(w.t() @ u, dim=0)
            u = F.normalize(w @ v, dim=0)
        return F.conv2d(x, self.conv.weight / torch.dot(u, w @ v), self.conv.bias, padding=1)


# Whole networks.

@net()
class mean_std_inside(nn.Module):
    """Normalises its images itself."""
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.stem, self.head = stem(), Head(8)

    def forward(self, x):
        return self.head(self.stem((x - self.mean) / self.std))


@net()
class lenet_flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 12, 3), nn.Linear(48, 20), nn.Linear(20, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(torch.tanh(self.a(x)), 2)
        x = F.max_pool2d(torch.tanh(self.b(x)), 2)
        return self.d(torch.tanh(self.c(x.flatten(1))))


@net()
class mlp_batchnorm(nn.Module):
    """Linear layers with batch normalisation of [N, C]."""
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(768, 24), nn.BatchNorm1d(24), nn.SiLU(), nn.Linear(24, 24, bias=False), nn.BatchNorm1d(24), nn.SiLU(), nn.Linear(24, CLASSES))

    def forward(self, x):
        return self.net(x)


@net()
class mlp_mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.n1, self.n2, self.head = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16), nn.LayerNorm(16), nn.Linear(16, CLASSES)
        self.t1, self.t2, self.c1, self.c2 = nn.Linear(16, 8), nn.Linear(8, 16), nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        x = tokens(self.embed(x))
        x = x + self.t2(F.gelu(self.t1(self.n1(x).transpose(1, 2)))).transpose(1, 2)
        return self.head((x + self.c2(F.gelu(self.c1(self.n2(x))))).mean(1))


@net()
class conv1d_rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.n, self.b = nn.Conv1d(48, 16, 3, padding=2, dilation=2), nn.BatchNorm1d(16), nn.Conv1d(16, 16, 5, stride=2, groups=4)
        self.up, self.fc = nn.ConvTranspose1d(16, 8, 4, stride=2), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = x.permute(0, 1, 3, 2).reshape(x.shape[0], 48, 16)
        return self.fc(self.up(F.silu(self.b(F.silu(self.n(self.a(x)))))).mean(2))


@net()
class conv3d_slices(nn.Module):
    """Channels as depth."""
    def __init__(self):
        super().__init__()
        self.a, self.n, self.b, self.fc = nn.Conv3d(1, 6, 3, padding=1, stride=(1, 2, 2)), nn.BatchNorm3d(6), nn.Conv3d(6, 8, (2, 3, 3)), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = F.silu(self.n(self.a(x.unsqueeze(1))))
        return self.fc(F.avg_pool3d(F.silu(self.b(x)), (1, 2, 2)).mean((2, 3, 4)))


@net()
class two_outputs(nn.Module):
    """Scores and the features they come from."""
    outputs = 2

    def __init__(self):
        super().__init__()
        self.stem, self.fc = stem(), nn.Linear(8, CLASSES)

    def forward(self, x):
        f = self.stem(x).mean((2, 3))
        return self.fc(f), f


@net()
class softmax_end(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = stem(), Head(8)

    def forward(self, x):
        return self.head(self.stem(x)).softmax(1)

    @staticmethod
    def loss(scores, labels):
        return F.nll_loss(scores.log(), labels)


@net()
class log_softmax_end(softmax_end):
    def forward(self, x):
        return F.log_softmax(self.head(self.stem(x)), 1)

    @staticmethod
    def loss(scores, labels):
        return F.nll_loss(scores, labels)


@net()
class dropout_in_eval(nn.Module):
    """Exported in evaluation mode: batch normalisation by its stored statistics would be frozen, so it has none."""
    evaluated = True

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop, self.head = conv(3, 8), nn.GroupNorm(2, 8), nn.Dropout(0.5), Head(8)

    def forward(self, x):
        return self.head(self.drop(F.silu(self.norm(self.conv(x)))))


@net()
class tied_autoencoder_head(nn.Module):
    """One matrix used as it is and transposed."""
    def __init__(self):
        super().__init__()
        self.w, self.fc = nn.Parameter(torch.randn(12, 768) * 0.05), nn.Linear(768, CLASSES)

    def forward(self, x):
        x = x.flatten(1)
        return self.fc(F.linear(torch.tanh(F.linear(x, self.w)), self.w.t()))


@net()
class frozen_stem(nn.Module):
    """requires_grad=False for the first convolution."""
    def __init__(self):
        super().__init__()
        self.first, self.stem2, self.head = conv(3, 8), conv(8, 8, stride=2), Head(8)
        self.first.requires_grad_(False)

    def forward(self, x):
        return self.head(F.silu(self.stem2(F.silu(self.first(x)))))


@net()
class capsules(nn.Module):
    """Two rounds of routing by agreement."""
    def __init__(self):
        super().__init__()
        self.conv, self.w, self.last = nn.Conv2d(3, 16, 5, stride=4), nn.Parameter(torch.randn(1, 36, CLASSES, 6, 4) * 0.3), None

    @staticmethod
    def squash(s):
        n = (s * s).sum(-1, keepdim=True)
        return n / (1 + n) * s / torch.sqrt(n + 1e-8)

    def forward(self, x):
        u = self.squash(self.conv(x).view(x.shape[0], 4, 4, 9).permute(0, 1, 3, 2).reshape(x.shape[0], 36, 4))
        u = (self.w @ u[:, :, None, :, None]).squeeze(-1)
        b = torch.zeros_like(u[..., 0])
        for _ in range(2):
            v = self.squash((b.softmax(2)[..., None] * u).sum(1))
            b = b + (u * v[:, None]).sum(-1)
        return 8 * v.norm(dim=-1)


@net()
class arcface_head(nn.Module):
    """Scaled cosines to class centres."""
    def __init__(self):
        super().__init__()
        self.stem, self.centres = stem(), nn.Parameter(torch.randn(CLASSES, 8))

    def forward(self, x):
        return 8 * F.linear(F.normalize(self.stem(x).mean((2, 3))), F.normalize(self.centres))


@net()
class prototype_distances(nn.Module):
    """Scores are negative squared distances, and torch.cdist's to a second set."""
    def __init__(self):
        super().__init__()
        self.stem, self.p, self.q = stem(), nn.Parameter(torch.randn(CLASSES, 8)), nn.Parameter(torch.randn(CLASSES, 8))

    def forward(self, x):
        f = self.stem(x).mean((2, 3))
        return -((f[:, None] - self.p) ** 2).sum(-1) - torch.cdist(f, self.q)


@net()
class embedding_of_levels(nn.Module):
    """Pixels as 16 levels, looked up in a table; images as numbers are only counted, so the table is what trains."""
    def __init__(self):
        super().__init__()
        self.table, self.fc = nn.Embedding(16, 6), nn.Linear(6 * 3, CLASSES)

    def forward(self, x):
        level = (x * 4 + 8).clamp(0, 15).long()
        return self.fc(torch.tanh(self.table(level)).mean((2, 3)).flatten(1))


@net()
class constant_branches(nn.Module):
    """Python conditions on constants, a scalar Where and arithmetic with plain constants."""
    def __init__(self):
        super().__init__()
        self.stem, self.head, self.deep = stem(), Head(8), True

    def forward(self, x):
        x = self.stem(x)
        if self.deep:
            x = torch.where(x > 0.5, 2 * x, x * x + 0.75)
        return self.head(x / (1 + x.abs()))


@net()
class log_mel_like(nn.Module):
    """A fixed bank of filters, logarithm, mean and variance over the map, then trained layers."""
    def __init__(self):
        super().__init__()
        self.register_buffer("bank", torch.rand(16, 12))
        self.conv, self.head = conv(3, 8), Head(8)

    def forward(self, x):
        x = torch.log(x.pow(2) @ self.bank + 1e-3)
        x = (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1e-5)
        return self.head(F.silu(self.conv(x)))


@net()
class reductions(nn.Module):
    """Largest, smallest, logsumexp, product and norm over positions."""
    def __init__(self):
        super().__init__()
        self.stem, self.fc = stem(), nn.Linear(40, CLASSES)

    def forward(self, x):
        f = self.stem(x).flatten(2)
        return self.fc(torch.cat([f.amax(2), f.amin(2), torch.logsumexp(f, 2), (f[..., :4].tanh() + 1.5).prod(2), f.norm(1, 2) / 64], 1))


@net()
class tutorial_resnet(nn.Module):
    """A small residual network with max pooling, as tutorials have it."""
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Sequential(conv(3, 16, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)), \
            nn.Sequential(conv(16, 16, bias=False), nn.BatchNorm2d(16), nn.ReLU(), conv(16, 16, bias=False), nn.BatchNorm2d(16)), \
            nn.Sequential(conv(16, 32, stride=2, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES))

    def forward(self, x):
        x = self.a(x)
        return self.c(F.relu(x + self.b(x)))


NETS["gray_28"] = (lambda: nn.Sequential(conv(1, 8), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), conv(8, 16), nn.BatchNorm2d(16), nn.ReLU(),
                                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, CLASSES)), (1, 28, 28), 4)
