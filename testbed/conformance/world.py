"""Runs the steps of table.jsonl against one cloud, with one session per role."""
import json
import pathlib
import re
import time

import requests
import yaml

TABLE = pathlib.Path(__file__).with_name('table.jsonl')
MISSING = '11111111-2222-4333-8444-555555555555'
# compute 2.96: the newest that every release since 2024.1 has.
MICROVERSION = {'compute': '2.96', 'volumev3': '3.71'}
SERVICE_TYPE = {'compute': 'compute', 'volumev3': 'volume'}
FAULT = {400: 'badRequest', 403: 'forbidden', 404: 'itemNotFound',
         409: 'conflictingRequest', 413: 'overLimit'}
ID = re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
                r'|\b[0-9a-f]{32}\b')
# The table's names for roles, and what is added to the cloud's name.
SUFFIX = {'member': '', 'dr-admin': '-dr-admin', 'admin': '-admin',
          'reader': '-reader', 'manager': '-manager'}


def steps():
    """The table's steps, each with its line number and section."""
    section = ''
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        step = json.loads(line)
        section = step.get('section', section)
        yield dict(step, line=number, within=section)


def normal(value):
    """Ids replaced by <id>, in all texts of a JSON value."""
    if isinstance(value, str):
        return ID.sub('<id>', value)
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items()}
    return value


def pick(value, path):
    """Follow a.b or a[key=value].b; a key may hold dots only inside brackets."""
    for part in re.findall(r'(?:[^.\[]|\[[^\]]*\])+', path):
        name, _, rest = part.partition('[')
        value = value[name]
        if rest:
            key, _, wanted = rest.rstrip(']').partition('=')
            value = next(item for item in value if str(item[key]) == wanted)
    return value


class Session:
    """One user's token and catalogue."""

    def __init__(self, config):
        auth = config['auth']
        url = auth['auth_url'].rstrip('/')
        self.identity = url.removesuffix('/v3')
        self.http = requests.Session()
        self.http.trust_env = False
        reply = self.http.post(self.identity + '/v3/auth/tokens', json={'auth': {
            'identity': {'methods': ['password'], 'password': {'user': {
                'name': auth['username'], 'domain': {'name': 'Default'},
                'password': auth['password']}}},
            'scope': {'project': {'name': auth['project_name'],
                                  'domain': {'name': 'Default'}}}}}, timeout=60)
        reply.raise_for_status()
        self.token = reply.headers['X-Subject-Token']
        body = reply.json()['token']
        self.project = body['project']['id']
        self.urls = {
            service['type']: endpoint['url'].rstrip('/')
            for service in body['catalog'] for endpoint in service['endpoints']
            if endpoint['interface'] == 'public'}
        self.urls['identity'] = self.identity

    def url(self, service, path):
        # The path may climb with '..', which requests would resolve: do it here.
        base = self.urls[service]
        while path.startswith('/..'):
            base, path = base.rsplit('/', 1)[0], path[3:]
        return base + path


class World:
    """A cloud, the sessions on it, and what the steps saved."""

    def __init__(self, clouds, name):
        self.sessions = {role: Session(clouds[name + suffix])
                         for role, suffix in SUFFIX.items()}
        self.saved = {
            'no': MISSING,
            'member_project': self.sessions['member'].project,
            'admin_project': self.sessions['admin'].project}
        self.texts = {}

    def fill(self, value):
        """Saved values in place of {name}; a text that is only {name} keeps the type."""
        if isinstance(value, str):
            whole = re.fullmatch(r'\{(\w+)\}', value)
            if whole:
                return self.saved[whole[1]]
            return re.sub(r'\{(\w+)\}', lambda m: str(self.saved[m[1]]), value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        return value

    def send(self, role, method, service, path, body=None, mv=None, file=None):
        session = self.sessions[role if role in self.sessions else 'member']
        headers = {'Accept': 'application/json'}
        if role != 'none':
            headers['X-Auth-Token'] = 'gAAAAABnonsense' if role == 'bad' else session.token
        version = mv or MICROVERSION.get(service)
        if version:
            headers['OpenStack-API-Version'] = '%s %s' % (SERVICE_TYPE[service], version)
        if file is not None:
            headers['Content-Type'] = 'application/octet-stream'
        return session.http.request(method, session.url(service, path), json=body,
                                    data=file, headers=headers, timeout=300)

    def run(self, step):
        if 'text' in step:
            self.texts[step['text']] = step['is']
        elif 'wait' in step:
            self.wait(step)
        elif 'do' in step or 'boot' in step:
            self.call(step)

    def wait(self, step):
        service, path = self.fill(step['wait']).split(' ', 1)
        end = time.monotonic() + 120
        while True:
            reply = self.send('admin', 'GET', service, path)
            found = 'gone' if reply.status_code == 404 else pick(reply.json(), step['at'])
            if found in step['until']:
                return
            assert time.monotonic() < end, '%s is still %s, not %s' % (
                path, found, step['until'])
            time.sleep(0.1)

    def call(self, step):
        method, service, path = 'POST', 'compute', '/servers'
        body = self.fill(step.get('body'))
        if 'do' in step:
            method, service, path = self.fill(step['do']).split(' ', 2)
        else:
            body = {'server': dict({
                'name': 'c-x', 'flavorRef': self.saved['flavor'], 'networks': 'none',
                'block_device_mapping_v2': [{
                    'uuid': self.saved['boot'], 'source_type': 'volume',
                    'destination_type': 'volume', 'boot_index': 0}]},
                **self.fill(step['boot']))}
        reply = self.send(step.get('as', 'member'), method, service, path, body,
                          step.get('mv'), step.get('file'))
        assert reply.status_code == step['status'], reply.text
        self.check_body(step, reply)
        for name, place in step.get('save', {}).items():
            self.saved[name] = pick(reply.json(), place)

    def check_body(self, step, reply):
        if 'says' in step:
            text = step['says']
            text = self.texts[text[1:]] if text.startswith('@') else self.fill(text)
            name = FAULT.get(reply.status_code, 'computeFault')
            wanted = {name: {'code': reply.status_code, 'message': text}}
            assert normal(reply.json()) == wanted
        if 'neutron' in step:
            kind, text = step['neutron']
            assert normal(reply.json()) == {
                'NeutronError': {'type': kind, 'message': self.fill(text), 'detail': ''}}
        if step.get('reply') == '':
            assert reply.content == b''
        elif 'reply' in step:
            assert normal(reply.json()) == self.fill(step['reply'])
        for place, value in step.get('holds', {}).items():
            assert normal(pick(reply.json(), place)) == self.fill(value)


def load_clouds(path):
    """The clouds of a clouds.yaml."""
    return yaml.safe_load(pathlib.Path(path).read_text())['clouds']
