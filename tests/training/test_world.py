"""The small world: scenes come again from their number, and what they say of themselves is what can be seen."""

from collections import Counter

import numpy as np
import pytest

from training.drawing import GROUNDS, INKS, SIDE
from training.scenes import GRID, NO_COLOUR, PATCH, patches_of, pixels_of
from training.world import (
    CLEAR,
    HELD_OUT,
    SIZES,
    VAGUE,
    Placed,
    Scene,
    Taste,
    Thing,
    arrange,
    beyond,
    biggest,
    make_scene,
    names,
    shapes,
    table,
    things,
)

MANY = 150
DOG = Thing("dog", "animal", "")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(number) for number in range(MANY)]


def placed_at(*corners: tuple[int, int], side: int = 20) -> Scene:
    """Make a scene of dogs by hand, with boxes at these left and top edges."""
    scene = make_scene(0)
    objects = tuple(Placed(DOG, (left, top, left + side, top + side)) for left, top in corners)
    return Scene(objects, scene.ground, scene.pixels, scene.cover)


def test_there_are_sixty_things_and_shapes_in_ten_colours():
    assert len(things()) >= 60
    assert len({thing.colour for thing in shapes()}) == 10
    assert len(set(names())) == len(names())
    assert set(table()["colours"]) == set(INKS)
    assert set(table()["grounds"]) == set(GROUNDS)


@pytest.mark.parametrize("vendor", ["noto", "fluent"])
def test_every_thing_has_a_drawing_of_its_own(vendor: str):
    still = Taste(angles=(0,), wear=0)
    pictures = [arrange([thing], np.random.default_rng(3), still, vendor).pixels.tobytes() for thing in things()]
    assert len(set(pictures)) == len(things())


def test_a_number_is_a_scene():
    one, other = make_scene(5), make_scene(5)
    assert one.objects == other.objects
    assert (one.pixels == other.pixels).all()


def test_held_out_scenes_are_others():
    assert not any((make_scene(n).pixels == make_scene(n, HELD_OUT).pixels).all() for n in range(20))


def test_boxes_are_around_what_is_seen(scenes: list[Scene]):
    for scene in scenes:
        for place, one in enumerate(scene.objects, 1):
            rows, columns = np.nonzero(scene.cover == place)
            assert one.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_things_differ_from_the_background(scenes: list[Scene]):
    """What a mask covers has ink, and what none covers has the tint of the background."""
    for scene in scenes:
        free = scene.pixels[scene.cover == 0].astype(float)
        for place in range(1, len(scene.objects) + 1):
            inked = scene.pixels[scene.cover == place].astype(float)
            assert np.abs(inked - free.mean(0)).max() > 40, scene.objects[place - 1]


def test_all_counts_and_sizes_occur(scenes: list[Scene]):
    counts = Counter(len(scene.objects) for scene in scenes)
    assert set(counts) == set(SIZES)
    for scene in scenes:
        for one in scene.objects:
            left, top, right, bottom = one.box
            assert max(right - left, bottom - top) <= SIZES[len(scene.objects)][1] + 1


def test_some_things_overlap_and_none_is_hidden(scenes: list[Scene]):
    def overlap(one: Placed, other: Placed) -> bool:
        return all(one.box[axis] < other.box[axis + 2] and other.box[axis] < one.box[axis + 2] for axis in (0, 1))

    pairs = [(a, b) for scene in scenes for k, a in enumerate(scene.objects) for b in scene.objects[:k]]
    assert 0 < sum(overlap(a, b) for a, b in pairs) < len(pairs) / 4
    assert all(one.area > 60 for scene in scenes for one in scene.objects)


def test_a_thing_is_counted_by_name_label_and_group():
    chosen = [Thing("circle", "shape", "red"), Thing("circle", "shape", "blue"), DOG]
    scene = arrange(chosen, np.random.default_rng(1))
    assert [scene.count(call) for call in ("circle", "red circle", "shape", "dog", "animal", "cat")] == [
        2,
        1,
        2,
        1,
        1,
        0,
    ]


def test_what_lies_beyond_is_told_only_without_doubt():
    scene = placed_at((10, 10), (10 + CLEAR, 10))
    first, second = scene.objects
    assert beyond(scene, first, 0, 1) is second
    assert beyond(scene, first, 0, -1) is None
    assert beyond(scene, first, 1, 1) is None
    doubtful = placed_at((10, 10), (60, 10), (10 + VAGUE + 1, 50))
    assert beyond(doubtful, doubtful.objects[0], 0, 1) is None
    two = placed_at((10, 10), (40, 10), (70, 10))
    assert beyond(two, two.objects[0], 0, 1) is None


def test_the_biggest_is_plainly_bigger():
    scene = placed_at((0, 0), (50, 50))
    large = Placed(DOG, (0, 0, 30, 30))
    assert biggest(scene) is None
    assert biggest(Scene((scene.objects[0], large), scene.ground, scene.pixels, scene.cover)) is large


def test_patches_say_what_covers_them():
    scene = arrange([Thing("square", "shape", "red")], np.random.default_rng(2), Taste(angles=(0,), wear=0))
    seen = patches_of([scene])
    left, top, right, bottom = scene.objects[0].box
    row, column = (top + bottom) // 2 // PATCH, (left + right) // 2 // PATCH
    inside = row * GRID + column
    assert seen.thing[0, inside] == 1 + names().index("square")
    assert seen.colour[0, inside] == table()["colours"].index("red")
    assert seen.box[0, inside].tolist() == pytest.approx([edge / SIDE for edge in scene.objects[0].box])
    corner = int(seen.thing[0].argmin())
    assert (seen.thing[0, corner], seen.colour[0, corner]) == (0, NO_COLOUR)


def test_pixels_become_tensors_in_reading_order():
    scene = make_scene(3)
    pixels = pixels_of([scene])
    assert pixels.shape == (1, 3, SIDE, SIDE)
    assert pixels[0, :, 7, 11].tolist() == pytest.approx((scene.pixels[7, 11] / 127.5 - 1).tolist(), abs=1e-6)
