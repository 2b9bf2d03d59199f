"""Which way a score is better, by its name. Standard library alone, so that comparisons need no torch."""

LOWER = (
    *("fid", "fid_first", "intra_fid", "kid", "nn_ratio", "swd", "spectrum", "reverse_kl", "ppl_w", "ppl_z"),
    *("nll", "mae", "lpips", "sad", "mse", "grad", "conn", "patches", "colour", "texture", "shape", "jsd", "latent_l1"),
    *("content", "style", "target"),
)
HIGHER = (
    *("is", "is_first", "precision", "recall", "density", "coverage", "modes", "high_quality", "confident"),
    *("psnr", "ssim", "ms_ssim", "accuracy", "recall_macro", "f1_macro", "layout", "asked", "asked_min"),
    *("detail", "elbo", "active_units", "pixel_accuracy", "class_accuracy", "class_iou", "cas"),
    "latent_correlation",
)
SIDES = {**dict.fromkeys(LOWER, "lower"), **dict.fromkeys(HIGHER, "higher")}


def better(score: str) -> str | None:
    """ "lower" or "higher" for ``score`` such as ``set5-x2/psnr@y``, whatever it was measured on; None if unknown.

    A score of one scale, such as ``swd_21`` of the images at 21 px, is as that of all.
    """
    name = score.rpartition("/")[2].split("@")[0]
    of_all, _, scale = name.rpartition("_")
    return SIDES.get(of_all if scale.isdecimal() else name)
