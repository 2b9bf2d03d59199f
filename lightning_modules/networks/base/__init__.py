"""What a family may ask of a network: the base types that YAML files name and families import."""

from lightning_modules.networks.base.features import FeatureMaps
from lightning_modules.networks.base.generation import (
    Decoder,
    Discriminator,
    Encoder,
    Exemplified,
    FeedbackGenerator,
    Generator,
    Growing,
    JointDiscriminator,
    LatentEncoder,
    StyledGenerator,
    TextureGenerator,
    TwoHeadedDiscriminator,
    Verdict,
    draw_normal,
)
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
