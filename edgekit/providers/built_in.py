"""What providers share that are part of an onnxruntime: there, or in another build of it."""

from __future__ import annotations

from edgekit.providers.info import Diagnosis, ProviderInfo


def diagnose(provider: ProviderInfo) -> Diagnosis:
    """Tell whether the onnxruntime that is installed here is a build with the provider."""
    from edgekit.providers import diagnosis  # not needed by a session that stands

    return (
        diagnosis.runtime_problem(provider.extra)
        or diagnosis.build_problem(provider.ort_name, provider.extra, packages=provider.packages)
        or diagnosis.usable(provider.packages, ort_name=provider.ort_name)
    )
