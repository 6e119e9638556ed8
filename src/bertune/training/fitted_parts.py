"""What a training is made of: the model, its optimizer, the rows, and what is minimized."""

from dataclasses import dataclass

from torch import Tensor, nn

from bertune.batches.dataset import Dataset
from bertune.models.classifier import Classifier
from bertune.optim.given_optimizer import GivenOptimizer
from bertune.optim.scheduled_adam import ScheduledAdam
from bertune.training.adapters import Adapters
from bertune.training.compact_vocabulary import CompactVocabulary
from bertune.training.dynamics import Dynamics
from bertune.training.objective import Objective


@dataclass(frozen=True)
class FittedParts:
    """What is trained, by what, and on what.

    Args:
        classifier: trained in place.
        vocabulary: its token table.
        updates: takes the steps.
        train: with targets, as the objective checked them.
        validation: the same; None where nothing is evaluated.
        objective: what is minimized, and how it is judged.
        dynamics: records what is said of each training row.
        adapters: train in the place of the encoder's weights; None where there are none.
    """

    classifier: Classifier
    vocabulary: CompactVocabulary
    updates: ScheduledAdam | GivenOptimizer
    train: Dataset
    validation: Dataset | None
    objective: Objective
    dynamics: Dynamics | None
    adapters: Adapters | None = None

    def trained(self) -> dict[str, nn.Parameter]:
        """Returns the parameters by name, as they train."""
        return self.vocabulary.trained() | ({} if self.adapters is None else self.adapters.own_parameters())

    def copies(self) -> dict[str, Tensor]:
        """Copies the weights by name, the token table whole, for `put_back`."""
        own = {} if self.adapters is None else self.adapters.own_parameters()
        whole = dict(self.classifier.named_parameters())
        return {name: parameter.detach().clone() for name, parameter in (whole | own).items()}

    def put_back(self, weights: dict[str, Tensor]) -> None:
        """Gives the weights the values of `copies`."""
        for name, parameter in self.classifier.named_parameters():
            parameter.detach().copy_(weights[name])
        if self.adapters is not None:
            self.adapters.load(weights)

    def tensors(self) -> dict[str, Tensor]:
        """Returns the weights by name, as they are at this step, for a checkpoint."""
        own = {} if self.adapters is None else self.adapters.own_parameters()
        return self.vocabulary.tensors() | {name: parameter.detach() for name, parameter in own.items()}
