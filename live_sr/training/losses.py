"""Loss functions. Pictures are RGB float (N, 3, H, W) in 0..1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from live_sr.errors import MissingPart
from live_sr.training.options import TrainOptions


def compute_luma(rgb: Tensor) -> Tensor:
    """BT.601 full-range luma, (N, H, W)."""
    return (rgb * rgb.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)


def charbonnier_mean(a: Tensor, b: Tensor, epsilon: float) -> Tensor:
    """A smooth L1 (Charbonnier et al. 1994): squared error below `epsilon`, absolute error above."""
    return torch.sqrt((a - b) ** 2 + epsilon**2).mean()


def charbonnier_loss(guess: Tensor, target: Tensor, epsilon: float) -> Tensor:
    """Charbonnier on RGB, plus Charbonnier on its luma, which eyes and PSNR-Y weigh most."""
    return charbonnier_mean(guess, target, epsilon) + charbonnier_mean(
        compute_luma(guess), compute_luma(target), epsilon
    )


def psnr_loss(guess: Tensor, target: Tensor, luma_weight: float = 1.0) -> Tensor:
    """Negated PSNR, up to a factor: the mean over patches of the logarithm of the squared error, on RGB and on luma.

    A logarithm for each patch gives a dark, easy patch as much weight as a bright, hard one, as a mean of PSNRs does.
    """
    error = guess - target
    of_rgb = (error**2).mean((1, 2, 3))
    of_luma = (compute_luma(error) ** 2).mean((1, 2))
    return torch.log10(of_rgb + 1e-6).mean() + luma_weight * torch.log10(of_luma + 1e-6).mean()


def fft_loss(guess: Tensor, target: Tensor) -> Tensor:
    """Absolute difference of the spectra (Cho et al. 2021): rewards the right amount of detail at every frequency."""
    spectra = (torch.fft.rfft2(side.float(), norm="ortho") for side in (guess, target))
    a, b = (torch.view_as_real(spectrum) for spectrum in spectra)
    return (a - b).abs().mean()


def ssim_loss(guess: Tensor, target: Tensor) -> Tensor:
    """One minus the mean SSIM of the lumas (Wang et al. 2004): Gaussian windows of 11 pixels, sigma 1.5."""
    offsets = torch.arange(11, device=guess.device, dtype=guess.dtype) - 5
    bell = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = (torch.outer(bell, bell) / bell.sum() ** 2).view(1, 1, 11, 11)
    a, b = (compute_luma(side).unsqueeze(1) for side in (guess, target))
    statistics = torch.cat((a, b, a * a, b * b, a * b))
    mean_a, mean_b, square_a, square_b, product = nn.functional.conv2d(statistics, window).chunk(5)
    variances = square_a - mean_a**2 + square_b - mean_b**2
    covariance = product - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variances + 0.03**2)
    return 1 - (luminance * structure).mean()


class PerceptualLoss(nn.Module):
    """Absolute difference of VGG-19's features before the last activation, conv5_4 (Wang et al. 2018, ESRGAN).

    Raises MissingPart without torchvision or its weights.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        try:
            from torchvision.models import VGG19_Weights, vgg19

            features = vgg19(weights=VGG19_Weights.IMAGENET1K_V1).features[:35]
        except (ImportError, OSError, RuntimeError) as error:
            what = f"--perceptual needs torchvision and its weights of VGG-19: {error}"
            raise MissingPart(what, "pip install torchvision, and let it download the weights once") from None
        self.features = features.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("spread", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, guess: Tensor, target: Tensor) -> Tensor:
        a, b = (self.features((side - self.mean) / self.spread) for side in (guess, target))
        difference: Tensor = (a - b).abs().mean()
        return difference


class Discriminator(nn.Module):
    """Judges every neighbourhood of a picture as real or generated: (N, 3, H, W) -> (N, 1, H / 8, W / 8), logits.

    Spectral normalisation keeps its training stable (Miyato et al. 2018).
    """

    def __init__(self, features: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for out in (features, 2 * features, 4 * features):
            layers += [nn.utils.parametrizations.spectral_norm(nn.Conv2d(inside, out, 4, 2, 1)), nn.LeakyReLU(0.2)]
            inside = out
        layers.append(nn.Conv2d(inside, 1, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


def relativistic_loss(real: Tensor, made: Tensor, *, for_network: bool) -> Tensor:
    """Relativistic average GAN (Jolicoeur-Martineau 2019, as in ESRGAN): is one more real than the average other?

    From the discriminator's logits: its own loss or, with exchanged roles, that of the network.
    """
    if for_network:
        real, made = made, real
    bce = nn.functional.binary_cross_entropy_with_logits
    surer, less = real - made.mean(), made - real.mean()
    return (bce(surer, torch.ones_like(surer)) + bce(less, torch.zeros_like(less))) / 2


class TrainingLoss:
    """The sum of what the flags ask for. With --gan it trains its own discriminator."""

    def __init__(self, options: TrainOptions, device: str) -> None:
        self.options = options
        self.perceptual = PerceptualLoss().to(device) if options.perceptual else None
        self.discriminator = Discriminator().to(device) if options.gan else None
        if self.discriminator:
            self.optimizer = torch.optim.Adam(self.discriminator.parameters(), options.rate, betas=(0.9, 0.99))

    def __call__(self, guess: Tensor, target: Tensor) -> Tensor:
        o = self.options
        loss = psnr_loss(guess, target, o.luma) if o.psnr else charbonnier_loss(guess, target, o.epsilon)
        if o.fft:
            loss = loss + o.fft * fft_loss(guess, target)
        if o.ssim:
            loss = loss + o.ssim * ssim_loss(guess, target)
        if self.perceptual:
            loss = loss + o.perceptual * self.perceptual(guess, target)
        if self.discriminator:
            judge = self.discriminator
            self.optimizer.zero_grad()
            torch.autograd.backward(relativistic_loss(judge(target), judge(guess.detach()), for_network=False))
            self.optimizer.step()
            loss = loss + o.gan * relativistic_loss(judge(target).detach(), judge(guess), for_network=True)
        return loss
