"""The API: the system behind its routes."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route, WebSocketRoute

from schema.budgets import Budgets
from schema.documents import Checks, Registered
from schema.execution import Operations
from schema.http.answering import Answering
from schema.http.callers import Callers
from schema.http.files import files_routes
from schema.http.graphiql import graphiql_routes
from schema.http.graphql import GraphQLRoute
from schema.http.health import health_routes
from schema.http.outside import OutsideRoutes
from schema.http.requests import Requests
from schema.http.websocket import Sockets
from schema.root import core
from service.config import Settings
from service.journal.feed import Feed
from service.storage.buckets import Buckets
from service.system import System, open_system


def checks_of(system: System) -> dict[str, Callable[[], Awaitable[bool]]]:
    """What `/readyz` asks."""

    async def policy() -> bool:
        await system.epoch.refresh()
        return (await system.policies.current()).version > 0

    async def index() -> bool:
        return await system.engine.healthy() and await system.engine.current() is not None

    return {
        "mongodb": system.database.reachable,
        "objects": system.objects.healthy,
        "index": index,
        "policy": policy,
    }


def create_app(settings: Settings) -> Starlette:
    """The ASGI application; its lifespan owns the clients."""
    system = open_system(settings)
    callers = Callers(system, settings.trusted_proxies)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        yield
        await system.close()

    operations = Operations(core, Checks(core, introspection=settings.may_introspect))
    budgets = Budgets(settings.cost_per_minute, Buckets(system.database), most=settings.cost_limit)
    registered = Registered(settings.documents, only=settings.documents_only)
    answering = Answering(operations, registered, budgets, settings.operation_seconds)
    sockets = Sockets(
        system,
        callers,
        answering,
        Feed(system.journal.repository.changed_records),
        system.epoch,
        origins=settings.other_origins | {settings.own_origin},
    )
    routes: list[BaseRoute] = [
        Route("/graphql", GraphQLRoute(system, callers, answering).post, methods=["POST"]),
        WebSocketRoute("/graphql", sockets.serve),
        *files_routes(callers.required, system.evidence),
        *health_routes(checks_of(system)),
    ]
    if system.outside_sign_in is not None:
        secure = settings.url.startswith("https://")
        outside = OutsideRoutes(system.outside_sign_in, callers, secure=secure, return_url=settings.oidc_return_url)
        routes += outside.routes()
    if settings.env == "development":
        routes += graphiql_routes()
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(Requests), *_cross_origin(settings)])


def _cross_origin(settings: Settings) -> list[Middleware]:
    """Pages of the allowed origins may POST to the API; no cookie or other credential of a browser's goes along."""
    if not settings.other_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=sorted(settings.other_origins),
            allow_methods=["POST"],
            allow_headers=["authorization", "content-type", "accept-language", "x-request-id"],
            allow_credentials=False,
        )
    ]
