"""Views of an instance to the wire."""

from __future__ import annotations

from whybox.v1 import explanation_pb2 as pb
from whybox_server.api.tensors import from_array
from whybox_server.engine.view import PictureView, SeriesView, TableView, TensorView, TextView, View


def show(shown: View, subject: pb.Subject) -> None:
    """Fill the subject's `view`."""
    match shown:
        case PictureView(pixels):
            subject.picture.CopyFrom(from_array(pixels))
        case TextView(pieces, segments):
            subject.text.CopyFrom(pb.TextView(pieces=pieces, segments=segments))
        case TableView(names, values):
            subject.table.CopyFrom(pb.TableView(names=names, values=values))
        case SeriesView(values, channels):
            subject.series.CopyFrom(pb.SeriesView(values=from_array(values), channels=channels))
        case TensorView(values):
            subject.tensor.CopyFrom(from_array(values))
