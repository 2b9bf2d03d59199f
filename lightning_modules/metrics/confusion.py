"""Classification scores from one confusion matrix, and its picture."""

import torch
from PIL import Image, ImageDraw
from torch import Tensor

MOST_NAMED = 100  # classes of which a picture still shows names and counts
SPAN = torch.tensor([255.0, 100.0, 50.0], dtype=torch.float64)  # how much darker than white the whole row is


def classification_scores(confusion: Tensor) -> dict[str, float]:
    """Accuracy, macro recall and macro F1 of ``confusion`` [K, K], rows true classes, columns predicted ones.

    Recall is a mean over the classes that are there, F1 over those that are there or predicted.
    """
    matrix = confusion.double()
    hits, true, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    return {
        "accuracy": float(hits.sum() / matrix.sum()),
        "recall_macro": float((hits / true)[true > 0].mean()),
        "f1_macro": float((2 * hits / (true + predicted))[true + predicted > 0].mean()),
    }


def draw_confusion(confusion: Tensor, names: list[str], cell: int = 36) -> Tensor:
    """A picture of ``confusion`` [K, K] with its counts, uint8 [3, H, W]: the darker the larger share of its row.

    Of more than ``MOST_NAMED`` classes it is one of K x K px, without counts and names.
    """
    K = len(confusion)
    share = confusion.double().cpu() / confusion.cpu().sum(1, keepdim=True).clamp(min=1)
    if K > MOST_NAMED:
        return (255 - SPAN[:, None, None] * share).round().to(torch.uint8)
    sheet = Image.new("RGB", ((K + 2) * cell, (K + 2) * cell), "white")
    draw = ImageDraw.Draw(sheet)
    for i in range(K):
        middle = (i + 2) * cell + cell // 2
        draw.text((middle, cell * 3 // 2), names[i][:5], fill="black", anchor="mm")
        draw.text((cell * 3 // 2, middle), names[i][:5], fill="black", anchor="mm")
        for j in range(K):
            left, top = (j + 2) * cell, (i + 2) * cell
            colour = (255 - SPAN * share[i, j]).round().int().tolist()
            draw.rectangle((left, top, left + cell - 1, top + cell - 1), fill=tuple(colour))
            if confusion[i, j]:
                place = (left + cell // 2, top + cell // 2)
                draw.text(place, str(int(confusion[i, j])), fill="black", anchor="mm")
    draw.text((sheet.width // 2, cell // 2), "predicted", fill="black", anchor="mm")
    draw.text((cell // 2, sheet.height // 2), "true", fill="black", anchor="mm")
    pixels = torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8)
    return pixels.view(sheet.height, sheet.width, 3).permute(2, 0, 1)
