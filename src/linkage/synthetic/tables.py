"""The extract files: where each table is written, how, and which columns identify a record."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from linkage.synthetic.columns import guids
from linkage.synthetic.world import BULK_AGE, DELTA_AGE, LATER_AGE, MAIN_AGE

GP_SYSTEMS = ("emis", "tpp")


class Delivery(IntEnum):
    """The two times at which a feed is delivered."""

    MAIN = 0  # GP systems: the bulk delivery
    LATER = 1  # GP systems: the delta; other feeds: a re-submission


@dataclass(frozen=True)
class Table:
    """One table of one feed; ``key`` are the columns that identify a record in the truth."""

    feed: str
    name: str
    key: tuple[str, ...] = ()
    delimiter: str = ","
    keeps_unlinked: bool = False  # rows without a usable number stay

    @property
    def quoted(self) -> bool:
        """Whether every field is in quotation marks."""
        return self.feed in GP_SYSTEMS

    @property
    def encoding(self) -> str:
        """The characters of its files."""
        return "cp1252" if self.feed == "tpp" else "utf-8"

    @property
    def line_end(self) -> str:
        """What ends its lines."""
        return "\r\n" if self.feed == "tpp" else "\n"

    def path(self, delivery: Delivery, as_of: dt.date, seed: int, piece: int = 0) -> str:
        """The file of a delivery, relative to the made-up ICS, with forward slashes; or one of its pieces, from 0."""
        ages = (BULK_AGE, DELTA_AGE) if self.feed in GP_SYSTEMS else (MAIN_AGE, LATER_AGE)
        return self.path_on(as_of - dt.timedelta(days=ages[delivery]), seed, delivery + 2 * piece)

    def path_on(self, day: dt.date, seed: int, number: int) -> str:
        """The file of a day; those of one day differ in their number."""
        if self.feed == "emis":
            file_id = guids(np.array([number], dtype=np.int64), seed, self.name, braces=False)[0]
            return f"extracts/emis/291_{self.name}_{day:%Y%m%d}020000_{file_id}.csv"
        piece = f"{number // 2:03d}_" if number > 1 else ""
        return f"extracts/{self.feed}/{self.name}_{piece}{day:%Y%m%d}.csv"


ORGANISATION = Table("emis", "Admin_Organisation")
SHARING = Table("emis", "Agreements_SharingOrganisation")
CLINICAL_CODE = Table("emis", "Coding_ClinicalCode")
DRUG_CODE = Table("emis", "Coding_DrugCode")
PATIENT = Table("emis", "Admin_Patient", ("PatientGuid",))
OBSERVATION = Table("emis", "CareRecord_Observation", ("ObservationGuid",))
ISSUE = Table("emis", "Prescribing_IssueRecord", ("IssueRecordGuid",))

TPP_PATIENT = Table("tpp", "SRPatient", ("RowIdentifier",))
TPP_REGISTRATION = Table("tpp", "SRPatientRegistration", ("RowIdentifier",))
TPP_ADDRESS = Table("tpp", "SRPatientAddressHistory", ("RowIdentifier",))
TPP_CODE = Table("tpp", "SRCode", ("RowIdentifier",))
TPP_MEDICATION = Table("tpp", "SRPrimaryCareMedication", ("RowIdentifier",))

SPELL = Table("sus_apc", "spell", ("PRIMARYKEY_ID",))
SPELL_LOG = Table("sus_apc", "InsertDeleteLog")
EPISODE = Table("sus_apc", "spell.episodes", ("PRIMARYKEY_ID", "EPISODES_ID"))
ICD = Table("sus_apc", "spell.episodes.clinical_coding.diagnosis.icd", ("PRIMARYKEY_ID", "EPISODES_ID", "ICD_ID"))
OPCS = Table("sus_apc", "spell.episodes.clinical_coding.procedure.opcs", ("PRIMARYKEY_ID", "EPISODES_ID", "OPCS_ID"))
APPOINTMENT = Table("sus_op", "appointment", ("PRIMARYKEY_ID",))
APPOINTMENT_ICD = Table("sus_op", "appointment.clinical_coding.diagnosis.icd", ("PRIMARYKEY_ID", "ICD_ID"))
APPOINTMENT_OPCS = Table("sus_op", "appointment.clinical_coding.procedure.opcs", ("PRIMARYKEY_ID", "OPCS_ID"))
EMERGENCY = Table("ecds", "emergency_care", ("PRIMARYKEY_ID",))
EMERGENCY_DIAGNOSIS = Table("ecds", "clinical.diagnoses.snomed", ("PRIMARYKEY_ID", "SNOMED_ID"))
EMERGENCY_INVESTIGATION = Table("ecds", "clinical.investigations.snomed", ("PRIMARYKEY_ID", "SNOMED_ID"))
EMERGENCY_TREATMENT = Table("ecds", "clinical.treatments.snomed", ("PRIMARYKEY_ID", "SNOMED_ID"))
EPISODE_FLAT = Table("sus_apc_flat", "APC", ("EPIKEY",), delimiter="|")
APPOINTMENT_FLAT = Table("sus_op_flat", "OP", ("ATTENDKEY",), delimiter="|")
EMERGENCY_FLAT = Table("ecds_flat", "ECDS", ("EPIKEY",), delimiter="|")

COMMUNITY_PERSON = Table("csds", "CYP001MPI", ("Person_ID",))
COMMUNITY_REFERRAL = Table("csds", "CYP101Referral", ("Unique_ServiceRequestID",))
COMMUNITY_CONTACT = Table("csds", "CYP201CareContact", ("Unique_CareContactID",))
COMMUNITY_ACTIVITY = Table("csds", "CYP202CareActivity", ("Unique_CareActivityID",))
MENTAL_PERSON = Table("mhsds", "MHS001MPI", ("Person_ID",))
MENTAL_REFERRAL = Table("mhsds", "MHS101Referral", ("UniqServReqID",))
MENTAL_CONTACT = Table("mhsds", "MHS201CareContact", ("UniqCareContID",))
MENTAL_SPELL = Table("mhsds", "MHS501HospProvSpell", ("UniqHospProvSpellID",))
MENTAL_STAY = Table("mhsds", "MHS502WardStay", ("UniqWardStayID",))
MENTAL_DIAGNOSIS = Table("mhsds", "MHS604PrimDiag", ("UniqServReqID", "DiagSchemeInUse", "PrimDiag"))

SOCIAL_CARE = Table("cld", "cld", ("LA Code", "Event Reference"))
HELPLINE = Table("iuc111", "iuc111", ("CaseRef",), delimiter="|")
AMBULANCE = Table("cad999", "cad999", ("CallNumber",), delimiter="|", keeps_unlinked=True)
AMBULANCE_CREW = Table("cad999", "epr999", ("EPR Number",), delimiter="|", keeps_unlinked=True)
MERGER = Table("pds", "PDS_Person_Merger")
PERSON = Table("pds", "PDS_Person", ("RowID",))
ADDRESS = Table("pds", "PDS_Address", ("RowID",))
REGISTERED = Table("pds", "PDS_Patient_Care_Practice", ("RowID",))
DEATH = Table("deaths", "Deaths", ("DMIC_ROW_ID",))
