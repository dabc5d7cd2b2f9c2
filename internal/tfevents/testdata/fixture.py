"""Writes events.out.tfevents.fixture with TensorBoard's own record writer.

python fixture.py    (with tensorboard 2.21)
"""

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

with open("events.out.tfevents.fixture", "wb") as f:
    w = RecordWriter(f)
    w.write(Event(wall_time=1700000000.25, file_version="brain.Event:2").SerializeToString())
    for wall, step, scalars in [
        (1700000001.5, 1, [("loss/train", 2.5), ("test_accuracy", 0.125)]),
        (1700000002.5, 300, [("loss/train", -1e-30), ("seconds/wall", 1e30)]),
        (1700000003, 1 << 40, [("ünïcode", 3)]),
    ]:
        value = [Summary.Value(tag=t, simple_value=x) for t, x in scalars]
        w.write(Event(wall_time=wall, step=step, summary=Summary(value=value)).SerializeToString())
