"""What a family may ask of a network: the base types that YAML files name and families import."""

from lightning_modules.networks.base.features import FeatureMaps
from lightning_modules.networks.base.generation import (
    Decoder,
    Encoder,
    Exemplified,
    FeedbackGenerator,
    Generator,
    Growing,
    LatentEncoder,
    Pyramid,
    PyramidDiscriminator,
    PyramidGenerator,
    StyledGenerator,
    TextureGenerator,
    draw_normal,
)
from lightning_modules.networks.base.judging import Discriminator, JointDiscriminator, TwoHeadedDiscriminator, Verdict
from lightning_modules.networks.base.network import (
    Classifier,
    Network,
)
from lightning_modules.networks.base.restoration import (
    MID_GREY,
    Alignment,
    Filler,
    MultiViewUpscaler,
    StereoUpscaler,
    TwoStageFiller,
    Upscaler,
    planes_beside,
)

__all__ = [
    "MID_GREY",
    "Alignment",
    "Classifier",
    "Decoder",
    "Discriminator",
    "Encoder",
    "Exemplified",
    "FeatureMaps",
    "FeedbackGenerator",
    "Filler",
    "Generator",
    "Growing",
    "JointDiscriminator",
    "LatentEncoder",
    "MultiViewUpscaler",
    "Network",
    "Pyramid",
    "PyramidDiscriminator",
    "PyramidGenerator",
    "StereoUpscaler",
    "StyledGenerator",
    "TextureGenerator",
    "TwoHeadedDiscriminator",
    "TwoStageFiller",
    "Upscaler",
    "Verdict",
    "draw_normal",
    "planes_beside",
]
