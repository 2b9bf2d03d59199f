"""Laws of the networks that know classes: by hand, and as the networks they are made of."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d
from toys import Finite, batches, dcgans, trainer

from lightning_modules.gan import GAN
from lightning_modules.losses.classification import AuxiliaryClassifier
from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.conditional import (
    AuxiliaryDiscriminator,
    ClassNormGenerator,
    ConcatDiscriminator,
    ConcatGenerator,
    ProjectionDiscriminator,
    Wrapped,
)
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.dcgan_forms import CollectionsDiscriminator, DeepConvDiscriminator
from lightning_modules.networks.densenet import DenseNetDiscriminator
from lightning_modules.networks.latents import Clustered
from lightning_modules.networks.mlp import MLPDiscriminator, MLPGenerator
from lightning_modules.networks.packed import Packed
from lightning_modules.networks.resnet import ResNetDiscriminator
from lightning_modules.networks.sn_cnn import SNCNNDiscriminator

K = 3
Y = torch.tensor([0, 1, 2, 2, 1, 0])


def concat_players(k: int = K, width: int = 4) -> tuple[Generator, Discriminator]:
    G = ConcatGenerator(DCGANGenerator(8, 1, z_dim=4 + k, width=width), k)
    return G, ConcatDiscriminator(DCGANDiscriminator(8, 1 + k, width=width), k)


def projection_players(k: int = K, width: int = 4) -> tuple[Generator, Discriminator]:
    G, D = DCGANGenerator(8, 1, z_dim=4, width=width), DCGANDiscriminator(8, 1, width=width)
    return ClassNormGenerator(G, k), ProjectionDiscriminator(D, k)


def acgan_players(k: int = K, width: int = 4) -> tuple[Generator, Discriminator]:
    G = ConcatGenerator(DCGANGenerator(8, 1, z_dim=4 + k, width=width), k)
    return G, AuxiliaryDiscriminator(DCGANDiscriminator(8, 1, width=width), k)


PLAYERS = [concat_players, projection_players, acgan_players]


# --- concatenation ------------------------------------------------------------------------------------------


def test_planes_beside_the_image_are_a_zero_padded_convolution_of_ones_for_each_class():
    torch.manual_seed(0)
    _, D = concat_players()
    first, x = D.blocks[0][0], torch.randn(6, 1, 8, 8)
    found: list[Tensor] = []
    first.register_forward_hook(lambda layer, inputs, output: found.append(output.clone()))
    D(x, Y)
    ones = torch.ones(1, 1, 8, 8)
    of_class = [conv2d(ones, first.weight[:, 1 + k : 2 + k], stride=2, padding=1)[0] for k in range(K)]
    wanted = conv2d(x, first.weight[:, :1], first.bias, stride=2, padding=1) + torch.stack([of_class[k] for k in Y])
    assert torch.allclose(found[0], wanted, atol=1e-6)
    assert not torch.allclose(of_class[0][:, 0, 0], of_class[0][:, 1, 1])  # the border is not the middle


def test_a_code_beside_the_noise_chooses_a_row_of_the_first_weight():
    torch.manual_seed(0)
    G, _ = concat_players()
    z, first = G.sample_z(6), G.generator.layers[0]
    found: list[Tensor] = []
    first.register_forward_hook(lambda layer, inputs, output: found.append(output.clone()))
    G(z, Y)
    wanted = conv_transpose2d(z[:, :, None, None], first.weight[:4]) + first.weight[4:][Y]
    assert torch.allclose(found[0], wanted, atol=1e-6)
    assert (G.z_dim, G.out_shape, G.num_classes) == (4, (1, 8, 8), K)


def test_points_and_clustered_noise_take_a_code_too():
    G = ConcatGenerator(MLPGenerator((2,), z_dim=6 + K, latent=Clustered(modes=5)), K)
    D = ConcatDiscriminator(MLPDiscriminator((2 + K,)), K)
    assert (G.sample_z(50)[:, :5].sum(1) == 1).all()
    assert G.sample_z(50).shape == (50, 6)
    assert D(G(G.sample_z(6), Y), Y).shape == (6,)


# --- projection and class head ------------------------------------------------------------------------------


class Known(Discriminator):
    """x1 + 2 x2 + 0.5 of x [N, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.head = nn.Sequential(), nn.Linear(2, 1)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[1.0, 2.0]]))
            self.head.bias.fill_(0.5)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.verdict(self.features(x))


def test_the_projection_by_hand():
    D = ProjectionDiscriminator(Known(), K)
    with torch.no_grad():
        D.embed.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]]))
    x = torch.tensor([[3.0, 4.0]]).expand(3, 2)  # 3 + 8 + 0.5, and 3, 4 and 1 for the classes
    assert D(x, torch.arange(3)).tolist() == [14.5, 15.5, 12.5]


def test_the_class_head_reads_what_the_logit_reads():
    D = AuxiliaryDiscriminator(Known(), K)
    with torch.no_grad():
        D.classify.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]]))
    logits, classes, _ = D.judge(torch.tensor([[3.0, 4.0]]))
    assert logits.tolist() == D(torch.tensor([[3.0, 4.0]])).tolist() == [11.5]
    assert classes.tolist() == [[3, 4, 1]]


def test_a_class_head_has_a_bias_unless_asked_not_to():
    assert AuxiliaryDiscriminator(Known(), K).classify.bias is not None
    D = AuxiliaryDiscriminator(Known(), K, outputs=2 * K, bias=False)
    assert D.classify.bias is None
    assert D.classify.weight.shape == (2 * K, 2)
    _, classes, _ = D.judge(torch.zeros(1, 2))
    assert not classes.any()


def test_a_class_head_stands_on_a_projection_too():
    torch.manual_seed(0)
    inner = ProjectionDiscriminator(Known(), K)
    D, x = AuxiliaryDiscriminator(inner, K), torch.randn(6, 2)
    assert torch.equal(D.judge(x, Y).logits, inner(x, Y))


@pytest.mark.parametrize(
    "make",
    [
        lambda: DCGANDiscriminator(32, 1, width=2, spectral_norm=True),
        lambda: CollectionsDiscriminator(32, 1, width=2),
        lambda: DeepConvDiscriminator(32, 1, width=2),
        lambda: SNCNNDiscriminator(32, 1, width=2),
        lambda: ResNetDiscriminator(32, 1, width=2),
        lambda: DenseNetDiscriminator(32, 1, growth=4, depth=2),
        lambda: MLPDiscriminator((1, 32, 32)),
    ],
)
def test_every_discriminator_takes_a_projection_and_is_itself_where_that_is_zero(make):
    torch.manual_seed(0)
    inner, x = make(), torch.randn(6, 1, 32, 32)
    D = ProjectionDiscriminator(inner, K)
    with torch.no_grad():  # in which spectral norm stands still
        assert not torch.allclose(D(x, Y), inner(x))
        nn.init.zeros_(D.embed.weight)
        assert torch.equal(D(x, Y), inner(x))


def test_the_embedding_s_spectrum_is_normalised_where_asked_to():
    D = ProjectionDiscriminator(DCGANDiscriminator(8, 1, width=4, spectral_norm=True), K, spectral_norm=True)
    assert torch.linalg.matrix_norm(D.embed.weight, 2).item() == pytest.approx(1, abs=1e-3)


# --- all of them --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("players", PLAYERS)
def test_every_parameter_gets_a_gradient(players):
    torch.manual_seed(0)
    G, D = players()
    gan = GAN(G, D, classification=AuxiliaryClassifier() if players is acgan_players else None)
    x = torch.randn(6, 1, 8, 8)
    sum(gan.d_loss(x, Y).values()).backward()
    of_d = {name: parameter.grad for name, parameter in D.named_parameters()}
    assert all(parameter.grad is None for parameter in G.parameters())
    sum(gan.g_loss(x, Y).values()).backward()
    for name, gradient in (of_d | {f"G {name}": parameter.grad for name, parameter in G.named_parameters()}).items():
        assert gradient is not None, name
        rows = gradient.flatten(1).abs().sum(1) if gradient.ndim > 1 else gradient.abs().sum(0, keepdim=True)
        assert (rows > 0).all(), name  # each class's row of an embedding too


@pytest.mark.parametrize("players", PLAYERS)
def test_weights_stand_once_in_a_checkpoint_and_blocks_can_be_frozen(players):
    G, D = players()
    for net in (G, D):
        state = net.state_dict()
        assert len(state) == len({tensor.data_ptr() for tensor in state.values()})
    assert isinstance(D, Wrapped)
    assert D.blocks is D.discriminator.blocks
    GAN(G, D, classification=AuxiliaryClassifier() if players is acgan_players else None, freeze_d=1)
    assert not D.blocks[0][0].weight.requires_grad


@pytest.mark.parametrize("players", PLAYERS)
def test_a_missing_label_is_named(players):
    G, D = players()
    with pytest.raises(ValueError, match="needs the label of each sample"):
        G(G.sample_z(2))
    if players is not acgan_players:
        with pytest.raises(ValueError, match="needs the label of each sample"):
            D(torch.randn(2, 1, 8, 8))


def test_noise_that_has_no_room_for_the_code_is_refused():
    with pytest.raises(ValueError, match="holds noise and a code of 10 classes, and is 10"):
        ConcatGenerator(MLPGenerator(z_dim=10), 10)


def test_heads_of_single_labels_are_not_put_around_packs():
    for wrap in (ProjectionDiscriminator, AuxiliaryDiscriminator):
        with pytest.raises(ValueError, match=f"{wrap.__name__}: a pack has no label of its own: take Concat"):
            wrap(Packed(DCGANDiscriminator(8, 2, width=4)), K)
    assert ConcatDiscriminator(Packed(DCGANDiscriminator(8, 2 * (1 + K), width=4)), K)(
        torch.randn(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64)
    ).shape == (2,)


def test_classes_of_another_number_are_refused_for_either_player(tmp_path):
    data = Finite(batches(1))
    data.num_classes = 10
    for G, D in ((projection_players()[0], dcgans()[1]), (dcgans()[0], projection_players()[1])):
        with pytest.raises(ValueError, match="knows 3 classes, the data module 10"):
            trainer(tmp_path, max_steps=1).fit(GAN(G, D), datamodule=data)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("players", PLAYERS)
def test_compiled_networks_say_the_same(players, monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    torch.manual_seed(0)
    G, D = players()
    z, labels = G.sample_z(6), (Y, Y.roll(1))
    wanted = [(G(z, y), D(torch.ones(6, 1, 8, 8), y)) for y in labels]
    G.compile()
    D.compile()
    for (x, logits), y in zip(wanted, labels, strict=True):
        assert torch.allclose(G(z, y), x, atol=1e-5)
        assert torch.allclose(D(torch.ones(6, 1, 8, 8), y), logits, atol=1e-5)
    torch._dynamo.reset()
