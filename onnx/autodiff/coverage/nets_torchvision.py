"""One network of each torchvision family: name to (constructor's arguments, image size, batch)."""
CLASSES, TRIES, TRIES_LARGE, SEED = 10, 40, 4, 0

# The TorchScript exporter refuses adaptive pooling to a size that does not divide the map, so alexnet and vgg11_bn
# take images of 224; alexnet_64 and vgg11_bn_64 have that pooling, and the other exporter takes it.
NETS = {
    "alexnet": ({}, 224, 4), "alexnet_64": ({}, 64, 4), "vgg11_bn": ({}, 224, 2), "vgg11_bn_64": ({}, 64, 4),
    "resnet18": ({}, 64, 4),
    "resnext50_32x4d": ({}, 64, 4), "regnet_y_400mf": ({}, 64, 4), "densenet121": ({}, 64, 4),
    "googlenet": (dict(aux_logits=False, init_weights=False), 64, 4),
    "inception_v3": (dict(aux_logits=False, init_weights=False), 96, 4),
    "squeezenet1_1": ({}, 64, 4), "shufflenet_v2_x1_0": ({}, 64, 4), "mobilenet_v2": ({}, 64, 4),
    "mobilenet_v3_small": ({}, 64, 4), "mnasnet1_0": ({}, 64, 4), "efficientnet_b0": ({}, 64, 4),
    "efficientnet_v2_s": ({}, 64, 4), "convnext_tiny": ({}, 64, 4), "vit_b_32": (dict(image_size=64), 64, 4),
    "swin_t": ({}, 64, 4), "maxvit_t": ({}, 224, 2),
}
# inception_v3: at its first seed one of 123,904 windows of the first pooling has its two largest elements 8e-7 apart.
# alexnet, alexnet_64: an input of a ReLU behind the third and the fourth convolution is 2e-7 of their root mean square, where
# PyTorch's own float32 is 5e-6 off; convolutions by fewer multiplications round it to the other side.
OTHER = {"inception_v3", "alexnet", "alexnet_64"}


def exporters(name):
    return ("dynamo",) if name.endswith("_64") else ("torchscript", "dynamo")


def build(name):
    import torch, torchvision
    from gen import steady_norms
    torch.manual_seed(SEED)
    model = getattr(torchvision.models, name.removesuffix("_64"))(weights=None, num_classes=CLASSES, **NETS[name][0])
    for m in model.modules():
        if isinstance(m, (torch.nn.Dropout, torchvision.ops.StochasticDepth)):
            m.p = 0.0
    steady_norms(model)
    return model.train()
