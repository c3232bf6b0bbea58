"""Where bytes are kept: documents (MongoDB) and objects (S3). No rules live here."""

from service.storage.collection import Collection, DuplicateKey, Index
from service.storage.mongo import Database, DatabaseTrouble, StoreUnreachable, UnitOfWork, deadline, open_database
from service.storage.objects import ObjectStore, ObjectTrouble, Retention, StoredObject, UnsafeBucket, open_objects

__all__ = [
    "Collection",
    "Database",
    "DatabaseTrouble",
    "DuplicateKey",
    "Index",
    "ObjectStore",
    "ObjectTrouble",
    "Retention",
    "StoreUnreachable",
    "StoredObject",
    "UnitOfWork",
    "UnsafeBucket",
    "deadline",
    "open_database",
    "open_objects",
]
