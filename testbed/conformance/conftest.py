"""Which cloud to hold against the table."""
import os

import pytest
import requests
import world


def pytest_addoption(parser):
    parser.addoption('--os-cloud', default='site-a',
                     help='member user of clouds.yaml; the other roles are found by suffix')
    parser.addoption('--clouds', default=os.environ.get('OS_CLIENT_CONFIG_FILE', 'clouds.yaml'),
                     help='path of clouds.yaml')


@pytest.fixture(scope='session')
def cloud(request):
    clouds = world.load_clouds(request.config.getoption('--clouds'))
    name = request.config.getoption('--os-cloud')
    slow_down_simulation(clouds[name])
    return world.World(clouds, name)


def slow_down_simulation(config):
    """A simulated cloud deletes faster than two requests follow each other; a real one does not."""
    base = config['auth']['auth_url'].split('/identity')[0]
    admin = base + '/_admin'
    try:
        if requests.get(admin + '/health', timeout=10).status_code != 200:
            return
    except requests.RequestException:
        return
    url = '%s/clouds/%s/latency' % (admin, config['region_name'])
    latency = requests.get(url, timeout=10).json()
    latency.update(volume_delete=0.3, server_stop=0.3, server_delete=0.3)
    requests.put(url, json=latency, timeout=10)
