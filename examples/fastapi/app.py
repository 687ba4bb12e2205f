"""A small API behind Claviger: the orders of each tenant, and a status for everybody.

    CLAVIGER_JWKS_URL      where Claviger publishes its keys, as http://127.0.0.1:8010/.well-known/jwks.json
    CLAVIGER_BINDING_KEYS  each audience and the file with its binding key, as shop=shop.key, with spaces between them
    HOST, PORT             where to listen: 127.0.0.1 and 3000
"""

import os
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from guard import Caller, Guard, read_binding_key
from pydantic import BaseModel, Field

app = FastAPI(title="Orders")


def audiences(setting: str) -> dict[str, bytes]:
    pairs = (word.partition("=") for word in setting.split())
    return {audience: read_binding_key(Path(file).read_text()) for audience, _, file in pairs}


app.add_middleware(
    Guard,
    audiences=audiences(os.environ["CLAVIGER_BINDING_KEYS"]),
    jwks_url=os.environ["CLAVIGER_JWKS_URL"],
)


def somebody(request: Request) -> Caller:
    """Whoever calls. A path that is about somebody has nothing for nobody, whatever the settings of Claviger say."""
    visitor = request.scope["visitor"]
    if not isinstance(visitor, Caller):
        raise HTTPException(404)
    return visitor


class Order(BaseModel):
    reference: str = Field(min_length=1, max_length=100)
    total: float = Field(ge=0)


# Orders by reference. They live in memory and end with the server.
Orders = dict[str, Order]
ALL: dict[tuple[str, str, str, str], Orders] = {}


def own_orders(caller: Annotated[Caller, Depends(somebody)]) -> Orders:
    """The caller's. Whose they are is in the verified claims alone: no header, path, query or body names others."""
    return ALL.setdefault((caller.realm, caller.tenant_id, caller.org_id, caller.environment), {})


Own = Annotated[Orders, Depends(own_orders)]


@app.get("/status")
async def status():
    return {"status": "ok"}


@app.get("/orders")
async def list_orders(own: Own, q: str = ""):
    return {"data": [order for order in own.values() if q in order.reference]}


@app.post("/orders", status_code=201)
async def create_order(own: Own, order: Order) -> Order:
    if order.reference in own:
        raise HTTPException(409, "There is an order of this reference")
    own[order.reference] = order
    return order


@app.get("/orders/{reference}")
async def one_order(own: Own, reference: str) -> Order:
    if reference not in own:
        raise HTTPException(404)
    return own[reference]


if __name__ == "__main__":
    uvicorn.run(
        app,
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "3000")),
        # Longer than the 4 s for which Claviger keeps an idle connection.
        timeout_keep_alive=30,
    )
