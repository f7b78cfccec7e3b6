"""Lists: ordered items that are named by id; decides, evolves, reads and recounts them."""

from gapless.v1 import lists_pb2
from gapless_server.core.kernel import Kind
from gapless_server.core.kinds.lists import commands, events, guards, item_commands, queries
from gapless_server.core.kinds.lists.audit import ListAuditor
from gapless_server.core.kinds.lists.tables import ListTables, list_version

__all__ = ["KIND", "list_version"]

KIND = Kind(
    name="lists",
    tables=(ListTables,),
    commands={
        lists_pb2.CreateListRequest: commands.create,
        lists_pb2.InsertListItemsRequest: commands.insert,
        lists_pb2.EditListItemRequest: item_commands.edit,
        lists_pb2.MoveListItemRequest: commands.move,
        lists_pb2.ReorderListRequest: commands.reorder,
        lists_pb2.DeleteListItemRequest: item_commands.delete,
        lists_pb2.RecordListItemResultRequest: item_commands.record_result,
        lists_pb2.DeleteListRequest: commands.delete,
    },
    long_commands=(
        lists_pb2.InsertListItemsRequest,
        lists_pb2.ReorderListRequest,
        lists_pb2.DeleteListRequest,
    ),
    guards={lists_pb2.ListVersionGuard: guards.at_version},
    events={
        lists_pb2.ListCreated: events.created,
        lists_pb2.ListItemsInserted: events.items_inserted,
        lists_pb2.ListItemEdited: events.item_edited,
        lists_pb2.ListItemMoved: events.item_moved,
        lists_pb2.ListReordered: events.reordered,
        lists_pb2.ListItemDeleted: events.item_deleted,
        lists_pb2.ListItemResultRecorded: events.item_result_recorded,
        lists_pb2.ListDeleted: events.deleted,
    },
    queries={
        lists_pb2.GetListRequest: queries.get,
        lists_pb2.GetListItemRequest: queries.get_item,
        lists_pb2.ListListsRequest: queries.list_lists,
    },
    auditors=(ListAuditor,),
)
