"""EMT as a spandrel architecture: detects it in weights and builds the network from them."""

from __future__ import annotations

from spandrel import Architecture, ArchSupport, ImageModelDescriptor, SizeRequirements, StateDict

from live_sr.models.architectures.emt import EMT, infer_shape, is_emt


class EMTArch(Architecture[EMT]):  # type: ignore[misc]  # spandrel has no types for mypy
    """`load` raises KeyError, ValueError or RuntimeError for weights that do not fit, as spandrel's own classes do."""

    def __init__(self) -> None:
        super().__init__(id="EMT", detect=is_emt)

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[EMT]:
        shape = infer_shape(state_dict)
        net = EMT(shape)
        return ImageModelDescriptor(
            net,
            state_dict,
            architecture=self,
            purpose="SR" if shape.scale > 1 else "Restoration",
            tags=[f"{shape.width}nf", f"{shape.blocks}nb", f"{shape.layers}nl", *["classical"] * shape.classical],
            supports_half=False,  # attention is not scaled, on values of 0..255; not tried with published weights
            supports_bfloat16=True,
            scale=shape.scale,
            input_channels=3,
            output_channels=3,
            size_requirements=SizeRequirements(minimum=net.least),
        )


SUPPORT = ArchSupport.from_architecture(EMTArch())
