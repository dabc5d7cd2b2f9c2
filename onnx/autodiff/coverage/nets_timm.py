"""One small network of each of timm's modules: name to (constructor's arguments, image size, batch).

The smallest variant of a module that can be made; where that is still large, with fewer layers of each kind, which
keeps every operator. pretrained=False. Images are the smallest that the architecture allows or nearly so.
"""
CLASSES, TRIES, TRIES_LARGE, SEED = 10, 4, 2, 0
# Networks in which another order of addition meets an edge: its loss or its gradients turn on one element (see gen.py).
OTHER = {"legacy_xception", "lcnetv2_small", "levit_128s", "pnasnet5large", "swiftformer_xs"}
MODULES = {"MetaFormer": "metaformer", "MlpMixer": "mlp_mixer", "GlobalContextVit": "gcvit"}  # where a class is whose arguments no variant lets change


def small(depth, size=64, batch=2, **kw):
    return dict(img_size=size, depth=depth, **kw), size, batch


NETS = {
    # convolutional; inception_v3: at 96 two elements of a window of its pooling lie within 4e-7 of each other;
    # selecsls42: of two images of 64 rounding alone moves gradients by a hundredth
    "test_byobnet": ({}, 64, 4), "test_convnext": ({}, 64, 4), "test_efficientnet": ({}, 64, 4), "test_nfnet": ({}, 64, 4),
    "test_resnet": ({}, 64, 4), "test_mambaout": ({}, 64, 4), "lcnet_035": ({}, 64, 4), "starnet_s050": ({}, 64, 4),
    "dla46x_c": ({}, 64, 4), "repghostnet_050": ({}, 64, 4), "edgenext_xx_small": ({}, 64, 4), "ghostnet_050": ({}, 64, 4),
    "ese_vovnet19b_slim_dw": ({}, 64, 4), "regnetx_002": ({}, 64, 4), "fasternet_t0": ({}, 64, 4), "cspnext_tiny": ({}, 64, 4),
    "iformer_t": ({}, 64, 4), "cs3darknet_s": ({}, 64, 4), "lcnetv2_small": ({}, 64, 4), "inception_next_atto": ({}, 64, 4),
    "fastvit_t8": ({}, 64, 4), "rexnet_100": ({}, 64, 4), "hardcorenas_a": ({}, 64, 4), "hgnetv2_b0": ({}, 64, 4),
    "repvit_m1": ({}, 64, 4), "densenet121": (dict(block_config=(3, 4, 5, 3)), 64, 4), "dpn48b": ({}, 64, 2), "resnest14d": ({}, 64, 4),
    "resnetv2_18": ({}, 64, 4), "skresnet18": ({}, 64, 4), "legacy_seresnet18": ({}, 64, 4),
    "res2net50_26w_4s": (dict(layers=(1, 1, 1, 1)), 64, 4), "rdnet_tiny": (dict(num_blocks_list=(2, 2, 1, 1), growth_rates=(64, 104, 128, 128), is_downsample_block=(None, True, True, True), transition_compression_ratio=0.5, block_type=("Block", "Block", "BlockESE", "BlockESE")), 64, 2),
    "hrnet_w18_small": ({}, 64, 2), "selecsls42": ({}, 96, 4), "tresnet_m": (dict(layers=(1, 1, 1, 1)), 64, 2),
    "inception_v3": ({}, 128, 2), "inception_v4": ({}, 96, 2), "inception_resnet_v2": ({}, 96, 2), "legacy_xception": ({}, 96, 2),
    "xception41p": ({}, 64, 2), "vgg11": (dict(mlp_ratio=0.125), 32, 4),
    "convmixer": (dict(cls="ConvMixer", dim=128, depth=4), 56, 4), "mobilenetv5_base": ({}, 64, 2), "cpubone_nano": ({}, 64, 4),
    "lowformer_b0": ({}, 64, 2), "shvit_s1": ({}, 64, 4), "efficientvim_m1": ({}, 128, 4), "csatv2": ({}, 128, 2),
    # with attention or tokens
    "halonet_h1": ({}, 256, 2), "botnet26t_256": ({}, 256, 2), "lambda_resnet26t": ({}, 128, 2),
    "cait_xxs24_224": small(2, depth_token_only=1), "coat_tiny": (dict(img_size=64, serial_depths=(1, 1, 1, 1), parallel_depth=1), 64, 2),
    "convit_tiny": small(12, 32), "crossvit_tiny_240": (dict(depth=((1, 1, 0), (1, 1, 0))), 240, 2),
    "davit_tiny": (dict(depths=(1, 1, 1, 1), embed_dims=(24, 48, 96, 192)), 64, 2), "deepseek_vit_412m": (dict(depth=2, embed_dim=64, num_heads=4), 126, 2),
    "deit_tiny_patch16_224": small(3), "deit_tiny_distilled_patch16_224": small(2), "efficientformer_l1": ({}, 224, 2),
    "efficientformerv2_s0": ({}, 224, 2), "efficientvit_b0": ({}, 64, 4), "efficientvit_m0": (dict(img_size=224), 224, 8),
    "vit_tiny_patch16_dinov3_qkvb": small(2), "eva02_tiny_patch14_224": small(2, 56), "focalnet": (dict(cls="FocalNet", depths=(1, 1, 1, 1), embed_dim=24), 64, 2),
    "gcvit": (dict(cls="GlobalContextVit", depths=(1, 1, 2, 1), num_heads=(2, 4, 8, 16)), 224, 2), "gemma4_vit_167m": (dict(depth=2, embed_dim=64, num_heads=4, head_dim=16, intermediate_size=128), 96, 2),
    "hiera_tiny_224": (dict(stages=(1, 1, 2, 1)), 224, 2), "sam2_hiera_tiny": (dict(stages=(1, 1, 2, 1), global_att_blocks=(3,), embed_dim=24), 224, 2),
    "levit_128s": ({}, 224, 8), "levit_conv_128s": ({}, 224, 8), "test_coatnet": (dict(img_size=64), 64, 2), "test_maxvit": (dict(img_size=64), 64, 2),
    "poolformer": (dict(cls="MetaFormer", depths=(1, 1, 1, 1), dims=(32, 64, 160, 256)), 64, 2), "caformer": (dict(cls="MetaFormer", mixers=True, depths=(1, 1, 1, 1), dims=(32, 64, 160, 256)), 64, 2),
    "gmlp_ti16_224": (dict(img_size=64), 64, 2), "resmlp_12_224": (dict(img_size=64), 64, 2), "mixer": (dict(cls="MlpMixer", img_size=64, num_blocks=3, embed_dim=96), 64, 2),
    "mobilevit_xxs": ({}, 64, 2), "mobilevitv2_050": ({}, 64, 2), "mvitv2_tiny": (dict(img_size=64), 64, 2), "naflexvit_base_patch16_gap": ({}, 64, 2),
    "nest": (dict(cls="Nest", img_size=64, depths=(1, 1, 2), embed_dims=(48, 96, 192), num_heads=(2, 4, 8)), 64, 2), "nextvit_small": (dict(depths=(1, 1, 5, 1)), 64, 2),
    "pit_ti_224": (dict(img_size=64, depth=(1, 2, 1)), 64, 2), "pit_ti_distilled_224": (dict(img_size=64, depth=(1, 1, 1)), 64, 2), "pvt_v2_b0": (dict(depths=(1, 1, 1, 1)), 64, 2),
    "qwen3_vit_88m": (dict(depth=2, embed_dim=64, num_heads=4), 96, 2), "sequencer2d_s": (dict(img_size=56, layers=(1, 1, 1, 1), embed_dims=(48, 96, 96, 96), hidden_sizes=(12, 24, 24, 24)), 56, 2),
    "swiftformer_xs": ({}, 224, 2), "swin_tiny_patch4_window7_224": (dict(img_size=56, depths=(2, 2, 1, 1), embed_dim=48), 56, 2), "swin_s3_tiny_224": ({}, 224, 2),
    "swinv2_tiny_window8_256": (dict(img_size=64, window_size=4, depths=(2, 2, 1, 1), embed_dim=48), 64, 2),
    "swinv2_cr_tiny_224": (dict(img_size=64, window_size=4, depths=(2, 2, 1, 1), embed_dim=48), 64, 2),
    "tiny_vit_5m_224": (dict(depths=(1, 1, 2, 1)), 224, 2), "tnt_s_patch16_224": small(2, embed_dim=96, num_heads_outer=4),
    "twins_svt_small": (dict(img_size=64, depths=(2, 2, 2, 2)), 64, 2), "twins_pcpvt_small": (dict(img_size=64, depths=(1, 1, 1, 1)), 64, 2), "visformer_tiny": (dict(img_size=64, depth=(1, 1, 1)), 64, 2),
    "test_vit": (dict(img_size=64), 64, 4), "test_vit3": (dict(img_size=64), 64, 4), "vit_tiny_r_s16_p8_224": small(2), "test_vit_relpos": (dict(img_size=64), 64, 4),
    "samvit_base_patch16_224": small(2, embed_dim=96, num_heads=4, global_attn_indexes=(1,), window_size=3), "vitamin_small_224": small(2, 64),
    "volo": (dict(cls="VOLO", img_size=64, layers=(1, 1, 1, 1), embed_dims=(48, 96, 96, 96), num_heads=(2, 4, 4, 4)), 64, 2), "xcit_nano_12_p8_224": (dict(img_size=64, depth=2), 64, 2),
    # large
    "pnasnet5large": ({}, 96, 2), "nasnetalarge": ({}, 96, 2),
}


def build(name):
    import timm, torch
    from gen import steady_norms
    torch.manual_seed(SEED)
    args = dict(NETS[name][0])
    if cls := args.pop("cls", None):
        module = getattr(timm.models, MODULES.get(cls, cls.lower()))
        if args.pop("mixers", False):
            args.update(token_mixers=[module.SepConv] * 2 + [module.Attention] * 2, norm_layers=[module.LayerNorm2dNoBias] * 2 + [module.LayerNormNoBias] * 2)
        model = getattr(module, cls)(num_classes=CLASSES, **args)
    else:
        model = timm.create_model(name, pretrained=False, num_classes=CLASSES, **args)
    for m in model.modules():
        if isinstance(m, torch.nn.modules.dropout._DropoutNd):
            m.p = 0.0
        for rate in ("drop_prob", "drop_rate"):  # a path of a residual block that is dropped; dropout as a function
            if hasattr(m, rate):
                setattr(m, rate, 0.0)
    steady_norms(model)
    with torch.no_grad():  # what starts at zero would keep gradients from all that comes before it
        for p, t in model.named_parameters():
            if not p.endswith("bias") and t.numel() and t.abs().max() == 0:
                t.normal_(0, 0.1)
    return model.train()
