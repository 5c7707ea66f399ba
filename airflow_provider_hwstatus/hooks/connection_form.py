"""The connection form as Airflow 2.11 to 3.1 read it, made of the one declaration that 3.2 and newer read."""

from __future__ import annotations

from typing import Any

from airflow_provider_hwstatus.get_provider_info import CONNECTION_FIELDS


def widgets() -> dict[str, Any]:
    """Return a WTForms field for each field of the form."""
    return {name: _field(declared) for name, declared in CONNECTION_FIELDS.items()}


def _field(declared: dict[str, Any]) -> Any:
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import PasswordField, StringField
    from wtforms.validators import Optional, any_of

    schema = declared["schema"]
    secret = schema.get("format") == "password"
    choice = [any_of(schema["enum"])] if "enum" in schema else []
    return (PasswordField if secret else StringField)(
        lazy_gettext(declared["label"]),
        widget=BS3PasswordFieldWidget() if secret else BS3TextFieldWidget(),
        description=declared["description"],
        default=schema.get("default"),
        validators=[Optional(), *choice],
    )
