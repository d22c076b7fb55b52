"""The HTTP layer below the handlers: proxy headers, origins, client networks, query parameters."""
