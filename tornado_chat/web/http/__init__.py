"""What every HTTP request passes: proxy headers, origins, client networks, query parameters."""
