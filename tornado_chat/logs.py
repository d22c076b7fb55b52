from typing import Any


def fields(**values: Any) -> dict[str, Any]:
    return {"fields": values}
