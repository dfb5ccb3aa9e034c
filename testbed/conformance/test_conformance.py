"""Every line of the table, in order, against the chosen cloud."""
import pytest
import world

STEPS = [step for step in world.steps() if 'section' not in step]


@pytest.mark.parametrize(
    'step', STEPS, ids=lambda step: '%s:%d' % (step['within'].split(':')[-1].strip(), step['line']))
def test_step(cloud, step):
    cloud.run(step)
