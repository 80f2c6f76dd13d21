"""Django's ASGI application with async views, under uvicorn."""

import sys

import django
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

import serving
import ways

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="none", MIDDLEWARE=[], LOGGING_CONFIG=None)


async def healthy(request):
    return HttpResponse(await ways.rest())


async def block(request, way):
    return HttpResponse(ways.block(way))


urlpatterns = [path("healthy", healthy), path("block/<way>", block)]


class Server(uvicorn.Server):
    """Django has no hook for the start of a server."""

    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        serving.started()


django.setup()
config = uvicorn.Config(get_asgi_application(), serving.HOST, serving.PORT, lifespan="off", log_level="warning", access_log=False)
sys.exit(Server(config).run())
