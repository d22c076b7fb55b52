"""Configuration: option sections, ini reader, loader, validation, reload, database and Redis URLs."""

from tornado_chat.config.sections import (
    DATABASE as DATABASE,
)
from tornado_chat.config.sections import (
    ETC as ETC,
)
from tornado_chat.config.sections import (
    YEAR as YEAR,
)
from tornado_chat.config.sections import (
    Auth as Auth,
)
from tornado_chat.config.sections import (
    Cluster as Cluster,
)
from tornado_chat.config.sections import (
    Config as Config,
)
from tornado_chat.config.sections import (
    ConfigError as ConfigError,
)
from tornado_chat.config.sections import (
    Counselling as Counselling,
)
from tornado_chat.config.sections import (
    Count as Count,
)
from tornado_chat.config.sections import (
    Limits as Limits,
)
from tornado_chat.config.sections import (
    Logging as Logging,
)
from tornado_chat.config.sections import (
    Plugins as Plugins,
)
from tornado_chat.config.sections import (
    PositiveSeconds as PositiveSeconds,
)
from tornado_chat.config.sections import (
    Problem as Problem,
)
from tornado_chat.config.sections import (
    Seconds as Seconds,
)
from tornado_chat.config.sections import (
    Server as Server,
)
from tornado_chat.config.sections import (
    Staff as Staff,
)
from tornado_chat.config.sections import (
    Storage as Storage,
)
from tornado_chat.config.sections import (
    Support as Support,
)
from tornado_chat.config.sections import (
    Web as Web,
)
from tornado_chat.config.sections import (
    documented as documented,
)
from tornado_chat.config.sections import (
    is_live as is_live,
)
from tornado_chat.config.sections import (
    live as live,
)
from tornado_chat.config.sections import (
    option as option,
)
