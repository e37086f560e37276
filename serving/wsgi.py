"""The app for a WSGI server of your own, such as `gunicorn serving.wsgi:app`. Settings come from the environment.

Set HOST to the address that your server listens on: by it the app knows whether others can reach it without a token.
"""

import atexit

from leadscore.settings import read_settings
from serving.app import create_app
from serving.server.startup import prepare
from serving.telemetry.json_logging import write_json_lines

_settings = read_settings()
write_json_lines(_settings.log_level)
prepare(_settings)
app = create_app(_settings)
atexit.register(app.close)
