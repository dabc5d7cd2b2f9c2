"""Networks that give a class to each pixel: name to (constructor's arguments, image size, batch).

torchvision's three, and modules as people write them: decoders of each way to enlarge a map. The loss is the mean over
images of the cross-entropy over an image's pixels, without those of class 255, which one in nine pixels has. Networks
of torchvision give a dict; its "out" comes first, and the auxiliary output, where there is one, is left alone: it has
no part in the loss, so PyTorch gives its layers no gradient.

deeplabv3's pooled branch normalises one value an image over the batch alone. Of images of noise these are nearly alike,
the more so the more positions are pooled: with 4 of 64x64 their mean is 120 times their deviation (the median channel),
which multiplies what rounding does to the weight before it; with 8 of 32x32 it is 29 times. NAME_32 is the latter.
"""
import torch
from torch import nn
import torch.nn.functional as F

CLASSES, TRIES, TRIES_LARGE, SEED, IGNORE = 6, 12, 4, 0, 255
# At the first seed of deeplabv3_resnet50 another order of addition meets an edge in one channel of the backbone (see gen.py);
# at that of fcn_resnet50_aux, on a processor with AVX-512, so does noise of 4e-7 of their root mean square at the outputs of the
# convolutions: PyTorch's own gradients in float64 move by up to 3.6e-3 then, 3.2e-3 for the bias of the first normalisation.
OTHER = {"deeplabv3_resnet50", "fcn_resnet50_aux"}

NETS = {
    "fcn_resnet50": (dict(weights_backbone=None), 64, 4), "fcn_resnet50_aux": (dict(weights_backbone=None, aux_loss=True), 65, 2),
    "deeplabv3_resnet50": (dict(weights_backbone=None), 64, 4), "deeplabv3_resnet50_32": (dict(weights_backbone=None), 32, 8),
    "deeplabv3_mobilenet_v3_large": (dict(weights_backbone=None), 65, 4),
    "lraspp_mobilenet_v3_large": (dict(weights_backbone=None), 64, 4),
}


def net(size=16, batch=4):
    def add(cls):
        NETS[cls.__name__] = (cls, size, batch)
        return cls
    return add


def labels(name, seed):
    """The class of each pixel, in patches of 4x4, and 255 in some."""
    import numpy as np
    _, size, n = NETS[name]
    h, w = size[1:] if isinstance(size, tuple) else (size, size)
    draw = np.random.RandomState(1000 + seed)
    masks = draw.randint(0, CLASSES, (n, (h + 3) // 4, (w + 3) // 4)).repeat(4, 1).repeat(4, 2)[:, :h, :w]
    masks[draw.uniform(size=masks.shape) < 1 / 9] = IGNORE
    return masks.astype(np.uint8)


def loss(scores, masks):
    """The mean over images of the mean over their pixels that count."""
    masks = masks.long()
    pixels = F.cross_entropy(scores, masks, ignore_index=IGNORE, reduction="none")
    return (pixels.sum((1, 2)) / (masks != IGNORE).sum((1, 2))).mean()


def build(name):
    import torchvision
    from gen import steady_norms
    torch.manual_seed(SEED)
    made, _, _ = NETS[name]
    if isinstance(made, dict):
        model = getattr(torchvision.models.segmentation, name.removesuffix("_aux").removesuffix("_32"))(weights=None, num_classes=CLASSES, **made)
        model.outputs = 2 if made.get("aux_loss") else 1
    else:
        model = made()
    for m in model.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    steady_norms(model)
    model.loss = loss
    return model.train()


class Stem(nn.Sequential):
    """Two halvings: [N, 3, H, W] to [N, 16, H/4, W/4], rounded up."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 16, 3, 2, 1), nn.ReLU())


class Enlarged(nn.Module):
    """A stem, a layer, one enlargement by four, and scores."""

    def __init__(self, **how):
        super().__init__()
        self.stem, self.middle, self.head, self.how = Stem(), nn.Conv2d(16, 10, 3, padding=1), nn.Conv2d(10, CLASSES, 1), how

    def forward(self, x):
        x = torch.relu(self.middle(self.stem(x)))
        return self.head(F.interpolate(x, scale_factor=4, **self.how))


@net()
class nearest(Enlarged):
    def __init__(self):
        super().__init__(mode="nearest")


@net()
class nearest_exact(Enlarged):
    def __init__(self):
        super().__init__(mode="nearest-exact")


@net()
class bilinear(Enlarged):
    def __init__(self):
        super().__init__(mode="bilinear", align_corners=False)


@net()
class bilinear_corners(Enlarged):
    def __init__(self):
        super().__init__(mode="bilinear", align_corners=True)


@net()
class bicubic(Enlarged):
    def __init__(self):
        super().__init__(mode="bicubic", align_corners=False)


@net()
class bicubic_corners(Enlarged):
    def __init__(self):
        super().__init__(mode="bicubic", align_corners=True)


@net((3, 17, 22))
class to_the_images_size(Enlarged):
    """Scores enlarged to the size that the images have, no multiple of their own."""

    def forward(self, x):
        y = self.head(torch.relu(self.middle(self.stem(x))))
        return F.interpolate(y, size=x.shape[-2:], mode="bilinear", align_corners=False)


@net()
class pixel_shuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.up, self.head = Stem(), nn.Conv2d(16, 10 * 16, 3, padding=1), nn.Conv2d(10, CLASSES, 1)

    def forward(self, x):
        return self.head(torch.relu(F.pixel_shuffle(self.up(self.stem(x)), 4)))


@net()
class depth_to_space_blocks(nn.Module):
    """DepthToSpace as TensorFlow has it, the block before the channel (DCR), by views."""

    def __init__(self):
        super().__init__()
        self.stem, self.up, self.head = Stem(), nn.Conv2d(16, 10 * 16, 3, padding=1), nn.Conv2d(10, CLASSES, 1)

    def forward(self, x):
        x = self.up(self.stem(x))
        n, _, h, w = x.shape
        x = x.view(n, 4, 4, 10, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, 10, 4 * h, 4 * w)
        return self.head(torch.relu(x))


@net((3, 15, 18))
class transposed_in_groups(nn.Module):
    """Transposed convolutions with output_padding, groups, dilation, and strides that differ."""

    def __init__(self):
        super().__init__()
        self.stem = Stem()
        self.up1 = nn.ConvTranspose2d(16, 12, 3, stride=2, padding=1, output_padding=(1, 0), groups=4)
        self.up2 = nn.ConvTranspose2d(12, 8, 3, stride=(2, 2), padding=1, output_padding=1, groups=2)
        self.up3 = nn.ConvTranspose2d(8, CLASSES, 3, padding=2, dilation=2)

    def forward(self, x):
        h, w = x.shape[-2:]
        y = torch.relu(self.up2(torch.relu(self.up1(self.stem(x)))))
        return self.up3(y)[:, :, :h, :w]


class Block(nn.Sequential):
    def __init__(self, into, out):
        super().__init__(nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True))


@net(32)
class unet_nearest(nn.Module):
    """The decoder of segmentation_models_pytorch: nearest enlargement, the encoder's map beside it, two convolutions."""

    def __init__(self):
        super().__init__()
        self.e1, self.e2, self.e3 = Block(3, 8), Block(8, 16), Block(16, 24)
        self.d2, self.d1 = nn.Sequential(Block(24 + 16, 16), Block(16, 16)), nn.Sequential(Block(16 + 8, 8), Block(8, 8))
        self.head = nn.Conv2d(8, CLASSES, 3, padding=1)

    def forward(self, x):
        a = self.e1(x)
        b = self.e2(F.max_pool2d(a, 2))
        c = self.e3(F.max_pool2d(b, 2))
        b = self.d2(torch.cat([F.interpolate(c, scale_factor=2.0, mode="nearest"), b], dim=1))
        return self.head(self.d1(torch.cat([F.interpolate(b, scale_factor=2.0, mode="nearest"), a], dim=1)))


@net(33)
class unet_transposed(nn.Module):
    """A U-Net of tutorials: transposed convolutions, and padding to the size of the encoder's map."""

    def __init__(self):
        super().__init__()
        self.e1, self.e2, self.e3 = Block(3, 8), Block(8, 16), Block(16, 24)
        self.u2, self.u1 = nn.ConvTranspose2d(24, 16, 2, stride=2), nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.d2, self.d1, self.head = Block(32, 16), Block(16, 8), nn.Conv2d(8, CLASSES, 1)

    def beside(self, x, at):
        dy, dx = at.size(2) - x.size(2), at.size(3) - x.size(3)
        return torch.cat([at, F.pad(x, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])], dim=1)

    def forward(self, x):
        a = self.e1(x)
        b = self.e2(F.max_pool2d(a, 2))
        c = self.e3(F.max_pool2d(b, 2))
        b = self.d2(self.beside(self.u2(c), b))
        return self.head(self.d1(self.beside(self.u1(b), a)))


@net(64, 2)
class timm_features(nn.Module):
    """timm's features_only, and a pyramid of lateral convolutions over them."""

    def __init__(self):
        import timm
        super().__init__()
        self.encoder = timm.create_model("test_resnet", pretrained=False, features_only=True)
        self.lateral = nn.ModuleList(nn.Conv2d(c, 16, 1) for c in self.encoder.feature_info.channels())
        self.head = nn.Conv2d(16, CLASSES, 3, padding=1)

    def forward(self, x):
        maps = [l(m) for l, m in zip(self.lateral, self.encoder(x))]
        y = maps[-1]
        for m in maps[-2::-1]:
            y = m + F.interpolate(y, size=m.shape[-2:], mode="nearest")
        return F.interpolate(self.head(y), size=x.shape[-2:], mode="bilinear", align_corners=False)


@net(32)
class scales_that_exchange(nn.Module):
    """HRNet's way: two resolutions that add each other's maps, both in the scores, and a pixel shuffle to full size."""

    def __init__(self):
        super().__init__()
        self.stem, self.down = Block(3, 12), Block(12, 24)
        self.high, self.low = Block(12, 12), Block(24, 24)
        self.to_low = nn.Sequential(nn.Conv2d(12, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24))
        self.to_high = nn.Sequential(nn.Conv2d(24, 12, 1, bias=False), nn.BatchNorm2d(12))
        self.head = nn.Conv2d(36, 4 * CLASSES, 1)

    def forward(self, x):
        high = self.stem(F.avg_pool2d(x, 2))
        low = self.low(self.down(F.max_pool2d(high, 2)))
        high = self.high(high)
        up = dict(size=high.shape[-2:], mode="bilinear", align_corners=True)
        both = torch.relu(high + F.interpolate(self.to_high(low), **up)), torch.relu(low + self.to_low(high))
        return F.pixel_shuffle(self.head(torch.cat([both[0], F.interpolate(both[1], **up)], 1)), 2)


@net(32)
class attention_and_fused_scales(nn.Module):
    """SegFormer's way: overlapping patches, attention, a depthwise convolution between two linear layers, fused scales."""

    def __init__(self, d=16):
        super().__init__()
        self.patches, self.norm1 = nn.Conv2d(3, d, 7, 4, 3), nn.LayerNorm(d)
        self.attention, self.norm2 = nn.MultiheadAttention(d, 2, batch_first=True), nn.LayerNorm(d)
        self.wide, self.depth, self.narrow = nn.Linear(d, 2 * d), nn.Conv2d(2 * d, 2 * d, 3, 1, 1, groups=2 * d), nn.Linear(2 * d, d)
        self.coarse, self.norm3 = nn.Conv2d(d, 2 * d, 3, 2, 1), nn.LayerNorm(2 * d)
        self.fine_head, self.coarse_head = nn.Linear(d, 24), nn.Linear(2 * d, 24)
        self.fuse, self.head = nn.Sequential(nn.Conv2d(48, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU()), nn.Conv2d(24, CLASSES, 1)

    def forward(self, x):
        n, y = x.shape[0], self.patches(x)
        h, w = y.shape[-2:]
        t = self.norm1(y.flatten(2).transpose(1, 2))
        t = t + self.attention(t, t, t, need_weights=False)[0]
        u = self.depth(self.wide(self.norm2(t)).transpose(1, 2).reshape(n, -1, h, w))
        t = t + self.narrow(F.gelu(u.flatten(2).transpose(1, 2)))
        c = self.coarse(t.transpose(1, 2).reshape(n, -1, h, w))
        a, b = c.shape[-2:]
        c = self.coarse_head(self.norm3(c.flatten(2).transpose(1, 2))).transpose(1, 2).reshape(n, -1, a, b)
        c = F.interpolate(c, size=(h, w), mode="bilinear", align_corners=False)
        f = self.fine_head(t).transpose(1, 2).reshape(n, -1, h, w)
        return F.interpolate(self.head(self.fuse(torch.cat([c, f], 1))), size=x.shape[-2:], mode="bilinear", align_corners=False)
