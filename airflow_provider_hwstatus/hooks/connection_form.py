"""The connection form for Airflow 2.11 to 3.1, from the declaration that Airflow 3.2 and newer read."""

from __future__ import annotations

from typing import Any

from airflow_provider_hwstatus.get_provider_info import CONNECTION_FIELDS


def widgets() -> dict[str, Any]:
    """Return a WTForms field for each connection field, by name."""
    return {name: _form_field(declaration) for name, declaration in CONNECTION_FIELDS.items()}


def _form_field(declaration: dict[str, Any]) -> Any:
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import PasswordField, StringField
    from wtforms.validators import Optional, any_of

    schema = declaration["schema"]
    secret = schema.get("format") == "password"
    choice = [any_of(schema["enum"])] if "enum" in schema else []
    return (PasswordField if secret else StringField)(
        lazy_gettext(declaration["label"]),
        widget=BS3PasswordFieldWidget() if secret else BS3TextFieldWidget(),
        description=declaration["description"],
        default=schema.get("default"),
        validators=[Optional(), *choice],
    )
