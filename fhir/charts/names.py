"""Names, places and numbers of a Colombian population. No person or institution here is real."""

from __future__ import annotations

from typing import NamedTuple

WOMEN = (
    "Valentina Isabella Mariana Sofía Gabriela Daniela Camila Luisa Paula Andrea Carolina Natalia Juliana Alejandra "
    "Catalina Manuela Sara Laura Ana Marta Gloria Luz Blanca Rosa Carmen Beatriz Patricia Claudia Sandra Adriana "
    "Mónica Diana Ángela Liliana Yolanda Esperanza Amparo Cecilia Inés Teresa Lucía Elena Ximena Viviana Marcela"
).split()
MEN = (
    "Santiago Sebastián Mateo Nicolás Samuel Alejandro Andrés Daniel Juan Carlos Luis Jorge José Óscar Jaime Hernán "
    "Álvaro Germán Fernando Rafael Miguel Camilo Felipe Esteban Tomás Simón Emiliano Martín David Julián Mauricio "
    "Gustavo Iván Ricardo Héctor Gonzalo Rodrigo Alberto Eduardo Wilson Fabián Cristian Édgar Ramiro Hugo"
).split()
SURNAMES = (
    "Rodríguez Gómez González Martínez García López Hernández Sánchez Ramírez Pérez Díaz Muñoz Rojas Moreno Torres "
    "Jiménez Vargas Gutiérrez Castro Ortiz Álvarez Ruiz Suárez Romero Herrera Valencia Quintero Restrepo Giraldo "
    "Cárdenas Mejía Parra Ospina Arango Salazar Londoño Acosta Cortés Zapata Montoya Rincón Ríos Peña Bedoya Duque "
    "Guerrero Murillo Mosquera Palacios Castaño Cardona Osorio Franco Beltrán Bernal Caicedo Ibáñez Núñez Agudelo "
    "Echeverri Uribe Patiño Tovar Villamizar Zuluaga Pinzón Mendoza Angulo Córdoba Lozano"
).split()


class City(NamedTuple):
    """A city with its department, its DANE code, its phone prefix, its place and how high it lies."""

    name: str
    department: str
    code: str
    prefix: str
    latitude: str
    longitude: str
    metres: int
    districts: tuple[str, ...]


CITIES = (
    City(
        "Bogotá, D.C.",
        "Bogotá, D.C.",
        "11001",
        "601",
        "4.6097",
        "-74.0817",
        2600,
        ("Chapinero", "Suba", "Kennedy", "Usaquén", "Engativá", "Teusaquillo", "Fontibón", "Bosa"),
    ),
    City(
        "Medellín",
        "Antioquia",
        "05001",
        "604",
        "6.2442",
        "-75.5812",
        1495,
        ("Laureles", "El Poblado", "Belén", "Robledo", "Aranjuez", "Buenos Aires"),
    ),
    City(
        "Cali",
        "Valle del Cauca",
        "76001",
        "602",
        "3.4516",
        "-76.5320",
        1018,
        ("San Fernando", "Granada", "Ciudad Jardín", "Versalles", "Meléndez"),
    ),
    City(
        "Barranquilla",
        "Atlántico",
        "08001",
        "605",
        "10.9685",
        "-74.7813",
        18,
        ("El Prado", "Riomar", "Boston", "Las Nieves", "Simón Bolívar"),
    ),
)
BIRTHPLACES = ("Pasto", "Tunja", "Manizales", "Pereira", "Ibagué", "Neiva", "Cúcuta", "Bucaramanga", "Quibdó", "Santa Marta")
STREETS = ("Calle", "Carrera", "Avenida Carrera", "Diagonal", "Transversal")
INSURERS = ("EPS Salud Andina", "EPS Nuevo Horizonte", "EPS Vida Plena", "EPS Caribe Solidaria")
MAIL_HOSTS = ("correo.example", "mensajes.example", "buzon.example")
