"""The commands of ``atelier`` that make pictures with what is trained; each function is imported when called."""

from collections.abc import Sequence

from experiments.command import Command


def _sample(argv: Sequence[str]) -> int:
    from experiments.sample import sample

    return sample(argv)


def _restore(argv: Sequence[str]) -> int:
    from experiments.restore import restore

    return restore(argv)


def _translate(argv: Sequence[str]) -> int:
    from experiments.restore import translate

    return translate(argv)


def _matte(argv: Sequence[str]) -> int:
    from experiments.matte import matte

    return matte(argv)


def _stylise(argv: Sequence[str]) -> int:
    from experiments.stylise import stylise

    return stylise(argv)


def _photo(argv: Sequence[str]) -> int:
    from experiments.photo import photo

    return photo(argv)


def _edit(argv: Sequence[str]) -> int:
    from experiments.edit import edit

    return edit(argv)


def _explain(argv: Sequence[str]) -> int:
    from experiments.explain import explain

    return explain(argv)


PICTURES = {
    "sample": Command(
        "draw pictures from a trained generator",
        """  atelier sample RUN_DIR_OR_CKPT [options]

  --count N            N single PNGs; a grid of 64 unless given
  --interpolate K      an animated WebP on a round trip through K latents
  --size WxH           of a texture GAN: one texture of this size in px
  --tiled WxH          one whose borders go on, of at least this size
  --morph WxH          one that becomes another from left to right
  --class K            of one class, where the generator knows classes
  --truncation PSI     of a StyleGAN: w at PSI of its way from the mean w, 0 the mean (as in the configuration);
                       a sheet of several is edit RUN_DIR truncate
  --seed N             of the noise (0)
  --ckpt last|best     which checkpoint of a run directory (last)
  --out DIR            where to write (RUN_DIR/generated)""",
        _sample,
    ),
    "restore": Command(
        "restore an image, or a folder of images, with a trained network",
        """  atelier restore RUN_DIR_OR_CKPT IMAGE_OR_FOLDER [options]
  atelier restore NAME IMAGE_OR_FOLDER [options]    with a network that is shipped
  atelier restore EXPERIMENT IMAGE_OR_FOLDER --ckpt FILE [options]
  atelier restore RUN_DIR_OR_CKPT IMAGE_OR_FOLDER --mask MASK_OR_FOLDER [options]    with a network that fills holes

  --mask PLACE         an image of the picture's size, 255 where pixels are missing and 0 elsewhere; or a folder with
                       one for each picture, of its name but for the suffix; all other pixels stay as they are
  --out DIR            where the PNGs go, each under the name of its image (restored); none is overwritten
  --scale S            how many times as large, where the network knows several scales
  --ensemble           the mean over eight turns of the image: eight times the work
  --strip              beside each result a picture of before (enlarged by bicubic interpolation) and after
  --tile N             side of the tiles that it is done in, in pixels of the image (256); 0 does it in one piece
  --overlap N          pixels around a tile; as far as the network sees unless given, so that there is no seam
  --ckpt last|best     which checkpoint of a run directory (last)

  Alpha is kept, and so are 16 bits of grey; of 16-bit colour Pillow reads 8 bits.""",
        _restore,
    ),
    "translate": Command(
        "turn an image, or a folder of images, into the other kind",
        """  atelier translate RUN_DIR_OR_CKPT IMAGE_OR_FOLDER [options]
  atelier translate EXPERIMENT IMAGE_OR_FOLDER --ckpt FILE [options]

  --out DIR            where the PNGs go, each under the name of its image (translated); none is overwritten
  --size N             resize each image to N x N px first, as in training; else they stay as they are
  --to x|y             which kind to make, where the family knows both, as CycleGAN (x)
  --seed N             of the noise of networks that draw some, such as pix2pix's (0)
  --strip              beside each result a picture of before and after
  --ckpt last|best     which checkpoint of a run directory (last)""",
        _translate,
    ),
    "matte": Command(
        "find the alpha of an image, or of a folder of images, by its trimap",
        """  atelier matte RUN_DIR_OR_CKPT IMAGE_OR_FOLDER --trimap TRIMAP_OR_FOLDER [options]
  atelier matte EXPERIMENT IMAGE_OR_FOLDER --trimap TRIMAP_OR_FOLDER [--ckpt FILE] [options]

  --trimap PLACE       an image of the picture's size, 0 for background, 255 for foreground and 128 where alpha is to be
                       found; or a folder with one for each picture, of its name but for the suffix
  --background WHAT    an image, or a colour such as white or #00b140: also write the cut-out before it
  --out DIR            where NAME-alpha.png, NAME-foreground.png and NAME-composite.png go (matted)
  --ckpt last|best     which checkpoint of a run directory (last)""",
        _matte,
    ),
    "stylise": Command(
        "put an image, or a folder of images, into the style of others",
        """  atelier stylise RUN_DIR_OR_CKPT IMAGE_OR_FOLDER --style IMAGE[,IMAGE...] [options]    with a run of AdaIN

  --style A,B          whose style; of several a mixture
  --weights 0.7,0.3    of the styles (all alike)
  --strength S         0 is the picture as it is decoded, 1 the style (1)
  --mask PLACE         a grey image of the picture's size, white where the style is to be; or a folder of them
  --keep_colours       give the styles the picture's colours first
  --out DIR            where the PNGs go, each under the name of its image (stylised); none is overwritten
  --ckpt last|best     which checkpoint of a run directory (last)""",
        _stylise,
    ),
    "photo": Command(
        "make something of the one photograph that a run of SinGAN has learned",
        """  atelier photo RUN_DIR_OR_CKPT sample [--size WIDTHxHEIGHT]
  atelier photo RUN_DIR_OR_CKPT remake --image FILE [--mask FILE] [--scale K]
  atelier photo RUN_DIR_OR_CKPT enlarge [--image FILE] [--times 4]
  atelier photo RUN_DIR_OR_CKPT animate [--frames 48] [--scale K]

  --image FILE         a painting, an edited photograph, a composition; to enlarge: the photograph unless given
  --mask FILE          of its size, white where it is to be made anew
  --scale K            from which scale on: a low one changes much (the middle one; 0 for animate)
  --seed N             of the noise (0)
  --out FILE           the PNG, or animate's WebP (TASK.png, animate.webp); must be new
  --ckpt last|best     which checkpoint of a run directory (last)""",
        _photo,
    ),
    "edit": Command(
        "edit in the latent space of a trained generator: ways, mixed styles, directions, inversion",
        """  atelier edit RUN_DIR_OR_CKPT between|truncate|vary [options]
  atelier edit RUN_DIR_OR_CKPT mix [--layers 4,5|2-7] [--image FILE[,FILE...]]
  atelier edit RUN_DIR_OR_CKPT sefa|ganspace [--count 5] [--reach R]
  atelier edit RUN_DIR_OR_CKPT attribute --class K [--by means|separator] [--classifier mnist-cnn] [--reach 4]
  atelier edit RUN_DIR_OR_CKPT invert --image FILE[,FILE...] [--by steps|encoder|both]

  --space z|w|w+       where; w where the generator has styles, else z
  --label K            class of all images, where the generator knows classes
  --count N            rows, directions or variations; --columns N of a sheet
  --reach R            of a traversal; for attribute in deviations of the codes along it
  --by HOW             of attribute: towards the mean of the codes of the class, or along a linear separator's normal;
                       of invert: steps of Adam (--steps 500), an encoder's answer, or steps from there on; where the
                       family has no encoder one is taught (--teach 1000 steps)
  --strength S         of vary: a share of the way to other codes (0.3)
  --image FILE         pictures of the generator's size; vary starts from one, mix pastes layers between them; without
                       any, invert looks for codes that it drew itself and says how far from them it ends
  --seed N             of the codes (0)
  --out FILE.png       the sheet, with a JSON of numbers beside it (RUN_DIR/edits/TASK-stepN-seedN.png); must be new; a
                       .webp shows its columns one after the other, such as a way with --columns 48
  --ckpt last|best     which checkpoint of a run directory (last)""",
        _edit,
    ),
    "explain": Command(
        "look into a trained network: layers, units, which pixels speak for a verdict, images among real ones",
        """  atelier explain RUN_DIR_OR_CKPT activations|visualise --layer NAME    of a classifier or a discriminator
  atelier explain RUN_DIR_OR_CKPT gradcam|gradients|lime [--class K]    which pixels speak for a class, or for "real"
  atelier explain RUN_DIR_OR_CKPT ablate --layer NAME [--unit K]        a generator without one of its units
  atelier explain RUN_DIR_OR_CKPT tsne|spectrum|neighbours              a generator's images beside real ones

  --image FILE[,FILE]  pictures of the run's size; test images of its data unless given
  --layer NAME         by its dotted name; asked without one, the command names them all
  --units 0,3,5        what visualise looks for; --steps N of it (256)
  --unit K             what ablate switches off; the one most bound up with the measure unless given
  --measure NAME       stroke_width or ink, of images bright on dark
  --class K            for which class; for the one seen unless given
  --label K            class of made or judged images, where generator or discriminator knows classes
  --extractor NAME     whose features say what is near; the run's own unless given
  --split NAME         train or test: which real images (test; of neighbours train)
  --count N            images; --seed N of noise (0)
  --out FILE.png       the sheet, with a JSON of numbers beside it (RUN_DIR/explanations/TASK-stepN-seedN.png); must be
                       new
  --ckpt last|best     which checkpoint of a run directory (last)""",
        _explain,
    ),
}
