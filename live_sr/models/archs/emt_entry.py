"""EMT as an architecture of spandrel's: how it is recognised and put together from weights alone."""

from __future__ import annotations

from spandrel import Architecture, ArchSupport, ImageModelDescriptor, SizeRequirements, StateDict

from live_sr.models.archs.emt import EMT, recognised, shape_of


class EMTArch(Architecture[EMT]):  # type: ignore[misc]  # spandrel tells mypy no types
    """Raises, as the architectures of spandrel do, KeyError, ValueError or RuntimeError for weights that do not fit."""

    def __init__(self) -> None:
        super().__init__(id="EMT", detect=recognised)

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[EMT]:
        shape = shape_of(state_dict)
        net = EMT(shape)
        return ImageModelDescriptor(
            net,
            state_dict,
            architecture=self,
            purpose="SR" if shape.scale > 1 else "Restoration",
            tags=[f"{shape.width}nf", f"{shape.blocks}nb", f"{shape.layers}nl", *["classical"] * shape.classical],
            supports_half=False,  # attention is not scaled, on values of 0..255: not tried with published weights
            supports_bfloat16=True,
            scale=shape.scale,
            input_channels=3,
            output_channels=3,
            size_requirements=SizeRequirements(minimum=net.least),
        )


SUPPORT = ArchSupport.from_architecture(EMTArch())
